"""What every test folder shares: a real PostgreSQL, migrated once, empty before each test."""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any, LiteralString, override

import psycopg
import pytest
import structlog
from psycopg import sql
from pydantic import SecretStr

from cattery.db.engine import Database, connect
from cattery.db.migrate import upgrade
from cattery.db.tables import Base
from cattery.settings import DatabaseSettings
from tests import lanes
from tests.postgres_server import running_postgres

EXTERNAL = "CATTERY_TEST_DATABASE_URL"
"""A server to use instead of our own: a URL whose user may create databases."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile`, hand out files, and whole lanes where several share something."""
    return lanes.make_scheduler(config, log) if config.option.dist == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let several processes begin with what takes long."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        lanes.order(items)


_DIED = pytest.StashKey[bool]()
_STANDARD = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})


class _TellingRecord(logging.LogRecord):
    """A record whose message has what was logged beside the event, for reports of failed tests."""

    @override
    def getMessage(self) -> str:
        beside = (f"{k}={v}" for k, v in vars(self).items() if k not in _STANDARD)
        return " ".join([super().getMessage(), *beside])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """Remember that a process with tests died: what it had yet to run was run by nobody."""
    if error:
        node.config.stash[_DIED] = True


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End a run of which a process died unlike one with failed tests, which may be repeated."""
    if session.config.stash.get(_DIED, False):
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """Log through the standard library, so that `caplog` sees it, with tracebacks as plain text.

    structlog's own default draws every local variable of a traceback, which takes a minute here.
    """
    logging.setLogRecordFactory(_TellingRecord)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            structlog.stdlib.render_to_log_kwargs,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server: its URL ends in a database that tests leave alone."""
    external = os.environ.get(EXTERNAL)
    if external:
        yield external
        return
    with running_postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(scope="session")
def database_url(postgres_url: str, worker_id: str) -> Iterator[str]:
    """A database of this test process alone, with every table, empty before each test."""
    with fresh_database(postgres_url, f"cattery_test_{os.getpid()}_{worker_id}") as url:
        upgrade(url)
        yield url


@pytest.fixture(scope="session")
def broom(database_url: str) -> "Iterator[Broom]":
    """What empties the database; it keeps its connection, for most of the time went into that."""
    made = Broom(database_url)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def empty_tables(request: pytest.FixtureRequest) -> None:
    """Empty every table before a test that uses the database."""
    if "database_url" in request.fixturenames:
        broom: Broom = request.getfixturevalue("broom")
        broom.sweep()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The database as the product uses it."""
    made = connect(DatabaseSettings(url=SecretStr(database_url)))
    yield made
    await made.close()


class Broom:
    """Empties every table of a database."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = psycopg.connect(url, autocommit=True)
        tables = (sql.Identifier(table.name) for table in reversed(Base.metadata.sorted_tables))
        self._statement = sql.SQL("; ").join(sql.SQL("DELETE FROM {}").format(t) for t in tables)

    def sweep(self) -> None:
        """Do it at once, over a new connection where a test has ended the old one."""
        try:
            self._connection.execute(self._statement)
        except psycopg.OperationalError:
            self._connection.close()
            self._connection = psycopg.connect(self._url, autocommit=True)
            self._connection.execute(self._statement)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()


class fresh_database:  # noqa: N801 - used like a function
    """Make a database on a server, and drop it afterwards."""

    def __init__(self, server_url: str, name: str) -> None:
        self._server_url = server_url
        self._name = sql.Identifier(name)
        head, _, _ = server_url.partition("?")
        self._url = head.rpartition("/")[0] + f"/{name}"

    def __enter__(self) -> str:
        self._run("CREATE DATABASE {}")
        return self._url

    def __exit__(self, *_: object) -> None:
        self._run("DROP DATABASE {} WITH (FORCE)")

    def _run(self, statement: LiteralString) -> None:
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(self._name))
