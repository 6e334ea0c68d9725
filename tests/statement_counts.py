"""Counts what goes to PostgreSQL: figures that do not depend on how fast a machine is."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import psycopg


@contextmanager
def counted_statements() -> Iterator[Counter[str]]:
    """Count the statements that this process sends in the body, by their first words."""
    counts: Counter[str] = Counter()
    execute = psycopg.AsyncCursor.execute

    async def counting(cursor: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        text = query.decode() if isinstance(query, bytes) else str(query)
        counts[" ".join(text.split()[:6])] += 1
        return await execute(cursor, query, *arguments, **options)

    with patch.object(psycopg.AsyncCursor, "execute", counting):
        yield counts
