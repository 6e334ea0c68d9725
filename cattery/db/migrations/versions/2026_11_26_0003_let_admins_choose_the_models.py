"""Let admins choose the models that the site offers

Revision ID: 2026_11_26_0003
Revises: 2026_11_25_0002
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_26_0003"
down_revision = "2026_11_25_0002"


def upgrade() -> None:
    op.create_table(
        "offered_model",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_offered_model")),
    )
    op.create_index(
        "uq_offered_model_is_default",
        "offered_model",
        ["is_default"],
        unique=True,
        postgresql_where=sa.text("is_default"),
    )
