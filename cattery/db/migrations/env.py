"""Alembic's environment: `cattery.db.migrate` hands in the connection."""

from alembic import context
from sqlalchemy import text

from cattery.db.tables import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    transaction_per_migration=True,
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    # A migration that cannot get its lock gives up instead of holding up running code.
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.execute(text("SET statement_timeout = '15min'"))
    context.run_migrations()
