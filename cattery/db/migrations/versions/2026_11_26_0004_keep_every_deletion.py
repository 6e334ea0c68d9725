"""Keep every deletion that was asked for, and what it marked

Revision ID: 2026_11_26_0004
Revises: 2026_11_26_0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "2026_11_26_0004"
down_revision = "2026_11_26_0003"


def upgrade() -> None:
    op.create_table(
        "deletion",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "harness",
                "project",
                "user",
                name="deletionkind",
                native_enum=False,
                length=32,
                create_constraint=True,
            ),
            nullable=False,
        ),
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("owner_user_id", sa.Uuid(), nullable=True),
        sa.Column("requested_by", sa.Uuid(), nullable=True),
        sa.Column("requested_by_label", sa.Text(), nullable=False),
        sa.Column(
            "requested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "phase",
            sa.Enum(
                "grace",
                "deleting",
                "stuck",
                "done",
                "undone",
                name="deletionphase",
                native_enum=False,
                length=32,
                create_constraint=True,
            ),
            server_default="grace",
            nullable=False,
        ),
        sa.Column("step", sa.Text(), nullable=True),
        sa.Column("hitches", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("forced", JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("heir_user_id", sa.Uuid(), nullable=True),
        sa.Column("heir_label", sa.Text(), nullable=True),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by_label", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deletion")),
    )
    op.create_index("ix_deletion_object_id", "deletion", ["object_id"])
    op.create_index("ix_deletion_requested_at", "deletion", ["requested_at"])
    op.create_index(
        "ix_deletion_open", "deletion", ["due_at"], postgresql_where=sa.text("ended_at IS NULL")
    )
    for table in ("app_user", "project", "harness", "session"):
        op.add_column(table, sa.Column("deletion_id", sa.Uuid(), nullable=True))
        op.create_index(
            f"ix_{table}_deletion_id",
            table,
            ["deletion_id"],
            postgresql_where=sa.text("deletion_id IS NOT NULL"),
        )
