"""The tables that migrations make are the models."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from cattery.db.engine import sqlalchemy_url
from cattery.db.migrate import pending, upgrade
from cattery.db.tables import Base
from tests.conftest import fresh_database


def test_migrations_make_exactly_the_models(database_url: str) -> None:
    engine = create_engine(sqlalchemy_url(database_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        differences = compare_metadata(context, Base.metadata)
    engine.dispose()
    assert differences == []


def test_migrating_twice_changes_nothing_and_nothing_is_pending(database_url: str) -> None:
    upgrade(database_url)
    assert pending(database_url) == []


def test_an_empty_database_has_every_migration_pending(postgres_url: str) -> None:
    with fresh_database(postgres_url, "cattery_test_unmigrated") as url:
        assert pending(url)
