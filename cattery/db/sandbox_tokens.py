"""The gateway's view of sandbox tokens: whose a token is, as long as it is worth something."""

import time
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from cattery.auth.sandbox_tokens import SandboxPrincipal, hash_token
from cattery.db.engine import Database
from cattery.db.idle import note_use
from cattery.db.sandbox_rows import find_token_owner
from cattery.ids import HarnessId

log = structlog.get_logger(__name__)

NOTED_EVERY: Final = 20.0
"""Seconds between two notes of the use of one sandbox."""
MAX_NOTED: Final = 10_000


class DatabaseTokenVerifier:
    """Looks tokens up in PostgreSQL, by their hash.

    Whoever calls a model works, also where nobody looks on, as in a terminal that was left: that is
    noted as a use of the sandbox, so that it is not suspended.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[HarnessId, float] = {}

    async def verify(self, token: str) -> SandboxPrincipal | None:
        """Return the sandbox of a live token; `None` for one that is unknown or revoked."""
        owner = await find_token_owner(self._database, hash_token(token))
        if owner is not None:
            await self._note_use(owner.harness_id)
        return owner

    async def _note_use(self, harness_id: HarnessId) -> None:
        now = time.monotonic()
        if now - self._noted.get(harness_id, -NOTED_EVERY) < NOTED_EVERY:
            return
        if len(self._noted) >= MAX_NOTED:
            self._noted.clear()
        self._noted[harness_id] = now
        try:
            async with self._database.write() as session:
                await note_use(session, harness_id)
        except SQLAlchemyError as error:
            log.warning("use_was_not_noted", harness_id=str(harness_id), error=type(error).__name__)
