"""What a bridge brings: an agent that holds conversations, one turn at a time in each.

A conversation tells what happens through the `Turn` that it is given. Frames are JSON objects;
`type` says what one is, `message` is the agent's own form of it, untouched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

type Frame = dict[str, Any]
"""One event, ready to be written as JSON."""

AGENT_MESSAGE = "agent.message"
"""`{message}`: something in the agent's own words, about the turn `messageID`."""


class AgentError(Exception):
    """The agent cannot go on with a turn; the message says why to a person."""


class Outcome(StrEnum):
    """How a turn ended."""

    COMPLETED = "completed"
    ABORTED = "aborted"
    FAILED = "failed"
    LOST = "lost"
    """The bridge stopped in the middle of it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as it was posted. `at` is in seconds since 1970."""

    message_id: str
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to a person, or a request for leave (`kind` is `permission`).

    `questions` have the contract's form: `{question, header, options, multiSelect}`.
    """

    kind: str
    questions: Sequence[Mapping[str, Any]]
    agent: str | None = None
    """The sub-agent that asks, where it is one."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to one question, in the words of its labels."""

    question: str
    labels: tuple[str, ...]
    notes: str = ""


class Turn(Protocol):
    """One turn, as its conversation sees it."""

    @property
    def prompt(self) -> Prompt:
        """What the turn is about."""

    @property
    def aborting(self) -> bool:
        """Whether somebody has asked to stop it."""

    @property
    def has_title(self) -> bool:
        """Whether the session has a title already."""

    def emit(self, message: Mapping[str, Any], *, keep: bool = False) -> None:
        """Tell watchers of a message; `keep` it for the history, where the agent does not."""

    def set_title(self, title: str) -> None:
        """Give the session its title, which also may come after the turn."""

    async def ask(self, asked: Asked) -> Sequence[Answered] | None:
        """Ask, and wait for the answer; `None` where the question was withdrawn."""


class Conversation(Protocol):
    """One session of the agent. Its methods are called one at a time, but for `abort`."""

    @property
    def at_rest(self) -> bool:
        """Whether nothing runs on in the background that `close` would end."""

    async def run(self, turn: Turn) -> Outcome:
        """Work on a prompt until the turn is over.

        Raises:
            AgentError: it cannot go on.
        """

    async def abort(self) -> None:
        """Make `run` end soon. Safe to call when nothing runs."""

    async def close(self) -> None:
        """Let go of processes and memory. The next `run` takes the conversation up again."""


class Agent(Protocol):
    """Makes conversations and reads what the agent itself remembers of them."""

    def new_session_id(self) -> str:
        """Choose the id of a new session."""

    def check_message_id(self, message_id: str) -> None:
        """Refuse an id that the agent cannot use, with a `MalformedError`."""

    def new_message_id(self) -> str:
        """Choose an id for a prompt that came without one."""

    def open(self, session_id: str) -> Conversation:
        """Make the conversation of a session. Costs nothing before its first turn."""

    def read_history(
        self, session_id: str, prompts: Sequence[str]
    ) -> Sequence[tuple[float, str, Mapping[str, Any]]]:
        """Read the agent's own record: (seconds since 1970, message id of the turn, message)."""
