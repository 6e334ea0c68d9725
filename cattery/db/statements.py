"""Statements of the hot paths: written with SQLAlchemy, compiled once, run by the driver itself.

Every request tells who asks and what they may see, and every prompt is accepted, claimed and
finished. Through SQLAlchemy's session such a statement costs five times the processor time that it
costs the driver alone (`python -m tests.bench.statements`); everything else keeps the session,
which is safer to write.
"""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from sqlalchemy import CursorResult, Executable, make_url
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql import ClauseElement

type DriverConnection = AsyncConnection[TupleRow]
type Rows = AsyncSession | DriverConnection
"""A transaction, or a connection in autocommit: where a statement is run."""

_DIALECT = make_url("postgresql+psycopg://").get_dialect()()


class Statement:
    """A statement whose values are all named parameters, to be run either way.

    The driver gives a column as PostgreSQL has it: an enumeration as text.
    """

    def __init__(self, expression: Executable) -> None:
        if not isinstance(expression, ClauseElement):
            msg = f"{expression!r} cannot be compiled"
            raise TypeError(msg)
        compiled = expression.compile(dialect=_DIALECT)
        constants = {name for name, value in compiled.params.items() if value is not None}
        if constants:  # SQLAlchemy would convert them; the driver is not told how
            msg = f"values stand in the statement, not as parameters: {sorted(constants)}"
            raise TypeError(msg)
        self.expression = expression
        self.sql = str(compiled)


async def run(rows: Rows, statement: Statement, **values: Any) -> Sequence[Sequence[Any]]:
    """Run a statement in a transaction of either kind; return the rows that it gives."""
    if isinstance(rows, AsyncSession):
        result = await rows.execute(statement.expression, values)
        has_rows = not isinstance(result, CursorResult) or result.returns_rows
        return result.fetchall() if has_rows else []
    cursor = await rows.execute(statement.sql.encode(), values, prepare=True)
    return await cursor.fetchall() if cursor.description else []


async def run_for_one(rows: Rows, statement: Statement, **values: Any) -> Sequence[Any] | None:
    """Run a statement that gives one row at most."""
    found = await run(rows, statement, **values)
    return found[0] if found else None
