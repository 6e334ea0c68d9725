"""Find the open prompts of a session without its others

Revision ID: 2026_11_27_0008
Revises: 2026_11_26_0007
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_27_0008"
down_revision = "2026_11_26_0007"

_OPEN = sa.text("status <> 'done'")


def upgrade() -> None:
    op.create_index("ix_prompt_open", "prompt", ["session_id", "turn_no"], postgresql_where=_OPEN)
    op.drop_index("ix_prompt_status", table_name="prompt")
