"""Keep large events once, and fold the pieces of turns that ended long ago

Revision ID: 2026_11_26_0006
Revises: 2026_11_26_0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_26_0006"
down_revision = "2026_11_26_0005"


def upgrade() -> None:
    op.create_table(
        "event_blob",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "digest", name=op.f("pk_event_blob")),
    )
    op.add_column(
        "prompt",
        sa.Column("folded", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.create_index(
        "ix_prompt_to_fold",
        "prompt",
        ["created_at"],
        postgresql_where=sa.text("status = 'done' AND NOT folded"),
    )
