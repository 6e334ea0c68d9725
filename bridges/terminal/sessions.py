"""All sessions of one bridge, those of earlier bridges in the same HOME among them."""

from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from bridges.terminal.programs import Program
from bridges.terminal.session import Session
from bridges.terminal.store import Record, Store


class Sessions:
    """Makes, finds and ends sessions. `name` is that of the program."""

    def __init__(self, name: str, program: Program, home: Path, env: Mapping[str, str]) -> None:
        self.name = name
        self._program = program
        self._env = env
        self._store = Store(home)
        self._sessions = {key: self._make(key, each) for key, each in self._store.load().items()}
        self._sockets: dict[str, list[web.WebSocketResponse]] = {}

    def list_ids(self) -> list[str]:
        """List every session."""
        return list(self._sessions)

    def create(self, session_id: str, theme: str) -> Session:
        """Make a session and start its program."""
        record = Record(theme)
        self._store.save(session_id, record)
        session = self._sessions[session_id] = self._make(session_id, record)
        session.start()
        return session

    def find(self, session_id: str) -> Session | None:
        """Return a session."""
        return self._sessions.get(session_id)

    def note_socket(self, session_id: str, socket: web.WebSocketResponse) -> None:
        """Remember a viewer's socket, to close it with its session."""
        held = [each for each in self._sockets.get(session_id, []) if not each.closed]
        self._sockets[session_id] = [*held, socket]

    async def delete(self, session_id: str) -> bool:
        """End a session for good; false where there is none."""
        session = self._sessions.pop(session_id, None)
        if session is None:
            return False
        await self._close_sockets(session_id, b"deleted")
        await session.close()
        self._store.remove(session_id)
        return True

    async def close(self) -> None:
        """End every program; the sessions stay on the disk."""
        for session_id in list(self._sockets):
            await self._close_sockets(session_id, b"stopping")
        for session in self._sessions.values():
            await session.close()

    async def _close_sockets(self, session_id: str, reason: bytes) -> None:
        for socket in self._sockets.pop(session_id, []):
            await socket.close(code=1001, message=reason)

    def _make(self, session_id: str, record: Record) -> Session:
        return Session(session_id, record, self._program, self._store, self._env)
