"""Brings a database to the present schema; safe beside running code and beside itself.

An advisory lock lets two deployments start at once: the second waits and then finds nothing to do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from cattery.db.engine import sqlalchemy_url

ADVISORY_LOCK = 0x636174746572  # "catter"


def upgrade(url: str) -> None:
    """Apply every migration that the database lacks."""
    with _locked(url) as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


def pending(url: str) -> list[str]:
    """Name the migrations that the database lacks, oldest first."""
    script = ScriptDirectory.from_config(_config())
    engine = create_engine(sqlalchemy_url(url))
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    wanted = [r.revision for r in script.walk_revisions()]
    return list(reversed(wanted[: wanted.index(current)] if current in wanted else wanted))


@contextmanager
def _locked(url: str) -> Iterator[Connection]:
    engine = create_engine(sqlalchemy_url(url))
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
            connection.commit()
            yield connection
    finally:
        engine.dispose()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config
