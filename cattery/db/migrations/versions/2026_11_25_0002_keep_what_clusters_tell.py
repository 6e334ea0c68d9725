"""Keep what a cluster tells of sandboxes, logs, file managers and facts of the site

Revision ID: 2026_11_25_0002
Revises: 2026_11_24_0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_25_0002"
down_revision = "2026_11_24_0001"


def upgrade() -> None:
    op.add_column("harness", sa.Column("waiting", sa.Text(), nullable=True))
    for name in ("runtime_events", "recoveries"):
        op.add_column(
            "harness",
            sa.Column(
                name,
                postgresql.JSONB(astext_type=sa.Text()),
                server_default=sa.text("'[]'::jsonb"),
                nullable=False,
            ),
        )
    op.create_table(
        "harness_log",
        sa.Column("harness_id", sa.Uuid(), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("log", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["harness_id"],
            ["harness.id"],
            name=op.f("fk_harness_log_harness_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("harness_id", name=op.f("pk_harness_log")),
    )
    op.create_table(
        "file_manager",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "idle",
                "starting",
                "ready",
                "failed",
                name="harnessstatus",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            server_default="idle",
            nullable=False,
        ),
        sa.Column("base_url", sa.Text(), nullable=True),
        sa.Column("token", sa.Text(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("waiting", sa.Text(), nullable=True),
        sa.Column(
            "used_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_file_manager")),
    )
    op.create_table(
        "site_fact",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "found_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_site_fact")),
    )
