"""Let workers see which of them live

Revision ID: 2026_11_26_0007
Revises: 2026_11_26_0006
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_26_0007"
down_revision = "2026_11_26_0006"


def upgrade() -> None:
    op.create_table(
        "worker_beat",
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("beats", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("worker", name=op.f("pk_worker_beat")),
        postgresql_with={"fillfactor": "50"},
    )
