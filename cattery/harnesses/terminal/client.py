"""The surface of a terminal's bridge: whether it is there, and its sessions. It has no turns."""

from typing import override

from cattery.errors import HarnessError
from cattery.harnesses.bridged.client import BridgeClient
from cattery.harnesses.http_client import PROBE_TIMEOUT
from cattery.ids import HarnessSessionId


class TerminalClient(BridgeClient):
    """One running bridge."""

    @override
    async def check_health(self) -> None:
        """Return when the bridge answers as itself."""
        health = await self._call("GET", "/healthz", timeout=PROBE_TIMEOUT)
        if not isinstance(health, dict) or health.get("healthy") is not True:
            raise HarnessError(f"What answers at {self._base} is not a terminal's bridge.")

    @override
    async def end_session(self, session: HarnessSessionId) -> None:
        """End a session's program and forget the session; nothing where it is gone."""
        if await self.session_exists(session):
            await self._call("DELETE", f"/session/{session}", session=session)
