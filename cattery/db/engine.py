"""The engine and the unit of work: one transaction a call, read and write told apart by type."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, Final, NewType, TypedDict

import orjson
import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from cattery.db.statements import DriverConnection, Statement, run
from cattery.settings import DatabaseSettings

PATIENCE = 5.0
"""Seconds for which a statement waits for a free connection, or for the database to come back."""
FRESH = 1.0
"""Seconds for which a connection that was just used is taken for a live one."""

ReadSession = NewType("ReadSession", AsyncSession)
"""A session that only reads; repositories that write do not take it."""


class _KeepAlive(TypedDict):
    keepalives: int
    keepalives_idle: int
    keepalives_interval: int
    keepalives_count: int
    tcp_user_timeout: int


KEEP_ALIVE: Final[_KeepAlive] = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""What every connection is opened with, so that one whose server has vanished without a word is
given up after a quarter of a minute. Linux by itself waits for up to two hours."""


class _Connection(AsyncConnection[TupleRow]):
    """A connection of the driver's own that knows when it last worked."""

    used_at = 0.0


class Database:
    """Hands out transactions on one PostgreSQL."""

    def __init__(self, engine: AsyncEngine, url: str, *, pool_size: int) -> None:
        self.engine = engine
        self.url = url
        """libpq URL, for connections of their own such as LISTEN."""
        self._pool = _open_later(url, pool_size)
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        # A transaction around reads would cost two round trips and give nothing: at READ
        # COMMITTED each statement has a snapshot of its own anyway.
        reading = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._reads = async_sessionmaker(reading, expire_on_commit=False)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction that commits at the end and rolls back on any exception."""
        async with self._sessions.begin() as session:
            yield session

    @asynccontextmanager
    async def read(self) -> AsyncIterator[ReadSession]:
        """Open a session for reading; each statement sees what was committed before it."""
        async with self._reads() as session:
            yield ReadSession(session)

    @asynccontextmanager
    async def quick(self) -> AsyncIterator[DriverConnection]:
        """Open a transaction of the driver's own, for the statements of the hot paths.

        It commits at the end and rolls back on any exception.
        """
        pool = await self._opened()
        async with pool.connection() as connection, connection.transaction():
            yield connection

    async def fetch_one(self, statement: Statement, **values: Any) -> Sequence[Any] | None:
        """Run a statement that only reads, and gives one row at most, as `fetch_all` does."""
        found = await self.fetch_all(statement, **values)
        return found[0] if found else None

    async def fetch_all(self, statement: Statement, **values: Any) -> Sequence[Sequence[Any]]:
        """Run a statement that only reads, on the hot paths.

        One that meets a connection that has died meanwhile is run once more, on another.
        """
        pool = await self._opened()
        try:
            async with pool.connection() as connection:
                return await run(connection, statement, **values)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if isinstance(error, PoolTimeout):
                raise
            async with pool.connection() as connection:
                return await run(connection, statement, **values)

    async def close(self) -> None:
        """Close every pooled connection."""
        if not self._pool.closed:
            await self._pool.close()
        await self.engine.dispose()

    async def _opened(self) -> AsyncConnectionPool[_Connection]:
        if self._pool.closed:
            await self._pool.open()
        return self._pool


def connect(settings: DatabaseSettings) -> Database:
    """Make a `Database`; no connection is opened yet."""
    url = settings.url.get_secret_value()
    engine = create_async_engine(
        sqlalchemy_url(url),
        pool_size=settings.pool_size,
        max_overflow=settings.pool_size,
        pool_pre_ping=True,
        hide_parameters=True,  # what people write stands in them; errors reach logs and Temporal
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={"options": "-c timezone=UTC", **KEEP_ALIVE},
    )
    return Database(engine, url, pool_size=settings.pool_size)


def _open_later(url: str, size: int) -> AsyncConnectionPool[_Connection]:
    """Make the driver's own pool; a connection is made when one is needed and none is free."""
    return AsyncConnectionPool(
        url,
        connection_class=_Connection,
        min_size=0,
        max_size=size,
        timeout=PATIENCE,
        open=False,
        kwargs={"autocommit": True, "options": "-c timezone=UTC", **KEEP_ALIVE},
        check=_check,
        reset=_note_use,
        configure=_configure,
        name="quick",
    )


async def _configure(connection: _Connection) -> None:
    set_json_loads(orjson.loads, connection)
    connection.used_at = monotonic()


async def _note_use(connection: _Connection) -> None:
    connection.used_at = monotonic()


async def _check(connection: _Connection) -> None:
    """Try a connection that lay idle; one that was just used is believed to live."""
    if monotonic() - connection.used_at > FRESH:
        await AsyncConnectionPool.check_connection(connection)


def sqlalchemy_url(url: str) -> str:
    """Turn a libpq URL into the one that names our driver."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.split("+")[0] not in ("postgresql", "postgres"):
        msg = (
            "DATABASE_URL must begin with postgresql:// (user, password, host and database follow)"
        )
        raise ValueError(msg)
    return f"postgresql+psycopg://{rest}"
