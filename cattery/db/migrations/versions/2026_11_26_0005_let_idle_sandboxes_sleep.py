"""Let idle sandboxes sleep, and keep what happened to each harness

Revision ID: 2026_11_26_0005
Revises: 2026_11_26_0004
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_26_0005"
down_revision = "2026_11_26_0004"


def upgrade() -> None:
    _add_columns()
    op.create_table(
        "sandbox_lease",
        sa.Column("harness_id", sa.Uuid(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["harness_id"],
            ["harness.id"],
            name=op.f("fk_sandbox_lease_harness_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("harness_id", "holder", name=op.f("pk_sandbox_lease")),
    )
    op.create_index(op.f("ix_sandbox_lease_expires_at"), "sandbox_lease", ["expires_at"])
    op.create_table(
        "harness_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("harness_id", sa.Uuid(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("by_user_id", sa.Uuid(), nullable=True),
        sa.Column("by_username", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["harness_id"],
            ["harness.id"],
            name=op.f("fk_harness_event_harness_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["by_user_id"],
            ["app_user.id"],
            name=op.f("fk_harness_event_by_user_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_harness_event")),
    )
    op.create_index("ix_harness_event_harness_id_id", "harness_event", ["harness_id", "id"])
    op.create_index(op.f("ix_harness_event_by_user_id"), "harness_event", ["by_user_id"])


def _add_columns() -> None:
    op.add_column("harness", sa.Column("idle_timeout_seconds", sa.Integer(), nullable=True))
    op.add_column(
        "harness",
        sa.Column(
            "used_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
    )
    op.add_column("harness", sa.Column("suspended_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("harness", sa.Column("stopped_reason", sa.Text(), nullable=True))
    op.add_column(
        "harness",
        sa.Column("suspended_seconds", sa.Double(), server_default=sa.text("0"), nullable=False),
    )
    op.create_index(
        "ix_harness_ready",
        "harness",
        ["id"],
        postgresql_where=sa.text("status = 'ready' AND deleting_at IS NULL"),
    )
