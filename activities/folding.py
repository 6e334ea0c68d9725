"""The part of a sweep that folds the events of turns that ended long ago."""

from datetime import timedelta

from cattery.db.engine import Database
from cattery.db.folding import find_turns_to_fold, fold_turn

PAGE = 200
"""Turns that one sweep folds, each in a transaction of its own; the next one goes on."""


class FoldSweep:
    """Folds what ended longer ago than `after`; nothing where that is zero."""

    def __init__(self, database: Database, after: timedelta) -> None:
        self._database = database
        self._after = after

    async def run(self) -> int:
        """Fold the oldest turns; returns how many changed."""
        if not self._after:
            return 0
        async with self._database.read() as rows:
            turns = await find_turns_to_fold(rows, ended_before=self._after, limit=PAGE)
        return sum([await fold_turn(self._database, turn) for turn in turns])
