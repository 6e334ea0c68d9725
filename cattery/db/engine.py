"""The engine and the unit of work: one transaction a call, read and write told apart by type."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NewType, TypedDict

import orjson
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from cattery.settings import DatabaseSettings

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


class Database:
    """Hands out transactions on one PostgreSQL."""

    def __init__(self, engine: AsyncEngine, url: str) -> None:
        self.engine = engine
        self.url = url
        """libpq URL, for connections of their own such as LISTEN."""
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

    async def close(self) -> None:
        """Close every pooled connection."""
        await self.engine.dispose()


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
    return Database(engine, url)


def sqlalchemy_url(url: str) -> str:
    """Turn a libpq URL into the one that names our driver."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.split("+")[0] not in ("postgresql", "postgres"):
        msg = (
            "DATABASE_URL must begin with postgresql:// (user, password, host and database follow)"
        )
        raise ValueError(msg)
    return f"postgresql+psycopg://{rest}"
