"""All sessions of one bridge, those of its earlier processes included."""

import asyncio
import re
from pathlib import Path

from bridges.contract.agent import Agent
from bridges.contract.errors import UnknownError
from bridges.contract.journal import Journal, list_sessions
from bridges.contract.ring import EventRing
from bridges.contract.session import Session

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Sessions:
    """Makes and finds sessions.

    Args:
        folder: of the journals, from `journal.prepare_folder`.
        idle: after how many seconds without a turn a conversation is let go.
    """

    def __init__(self, agent: Agent, folder: Path, ring: EventRing, *, idle: float) -> None:
        self._agent = agent
        self._folder = folder
        self._ring = ring
        self._idle = idle
        self._sessions: dict[str, Session] = {}

    @property
    def agent(self) -> Agent:
        """The agent that holds the conversations."""
        return self._agent

    def load(self) -> None:
        """Take up the sessions that an earlier process left."""
        for session_id in list_sessions(self._folder):
            session = self._make(session_id)
            session.load()
            self._sessions[session_id] = session

    def create(self) -> Session:
        """Begin a new session."""
        session = self._make(self._agent.new_session_id())
        session.begin()
        self._sessions[session.id] = session
        return session

    def find(self, session_id: str) -> Session:
        """Return a session.

        Raises:
            UnknownError: there is none of that id.
        """
        session = self._sessions.get(session_id) if _ID.fullmatch(session_id) else None
        if session is None:
            raise UnknownError("There is no session of that id.")
        return session

    def list(self) -> list[Session]:
        """List all, oldest first."""
        return sorted(self._sessions.values(), key=lambda session: session.created_at)

    async def close(self) -> None:
        """End what runs."""
        await asyncio.gather(*(session.close() for session in self._sessions.values()))

    def _make(self, session_id: str) -> Session:
        journal = Journal(self._folder, session_id)
        return Session(session_id, self._agent, journal, self._ring, idle=self._idle)
