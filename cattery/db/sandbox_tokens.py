"""The gateway's view of sandbox tokens: whose a token is, as long as it is worth something."""

from cattery.auth.sandbox_tokens import SandboxPrincipal, hash_token
from cattery.db.engine import Database
from cattery.db.sandbox_rows import find_token_owner


class DatabaseTokenVerifier:
    """Looks tokens up in PostgreSQL, by their hash."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def verify(self, token: str) -> SandboxPrincipal | None:
        """Return the sandbox of a live token; `None` for one that is unknown or revoked."""
        return await find_token_owner(self._database, hash_token(token))
