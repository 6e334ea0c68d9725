"""What the platform needs of a harness: a client for its HTTP surface and a pure translator.

The activities drive any HTTP harness through these two; `cattery.harnesses.registry` says which
implementation belongs to which type. contract/harness.md fixes the HTTP surface itself.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from cattery.catalog import ModelFamily
from cattery.errors import HarnessError
from cattery.events.model import Answer, QuestionAsked, Translated
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.jsontypes import JsonObject


class TransportKind(StrEnum):
    """How the platform talks to a harness."""

    HTTP = "http"
    TERMINAL = "terminal"


@dataclass(frozen=True, slots=True)
class HarnessEndpoint:
    """Where a running harness listens. `password` guards its port where the harness can."""

    base_url: str
    password: str | None = None


type HarnessFrame = JsonObject
"""One `data:` payload of a harness's `/event`, parsed."""
type HarnessHistory = Sequence[JsonObject]
"""The harness's own history of a session, as `GET /session/:id/message` gives it."""


class HarnessClient(Protocol):
    """The HTTP surface of one running harness.

    Methods raise `HarnessError` and its kinds, or `SandboxError` where the harness cannot be
    reached at all.
    """

    async def check_health(self) -> None:
        """Return when the harness answers as itself; every probe ends within a second."""

    async def create_session(self, *, theme: str) -> HarnessSessionId:
        """Open a new session in the harness."""

    async def session_exists(self, session: HarnessSessionId) -> bool:
        """Tell whether the harness still knows a session."""

    def new_message_id(self) -> HarnessMessageId:
        """Make an id for a prompt that sorts after every message so far, in the harness's form."""

    async def post_prompt(
        self, session: HarnessSessionId, message: HarnessMessageId, text: str
    ) -> None:
        """Start a turn. Call once a message id; returns when the harness has taken it."""

    async def fetch_history(self, session: HarnessSessionId) -> HarnessHistory:
        """Read the whole history of a session."""

    async def is_busy(self, session: HarnessSessionId) -> bool:
        """Tell whether a turn runs in the session right now."""

    async def abort(self, session: HarnessSessionId) -> None:
        """Stop the running turn; safe when none runs."""

    async def answer(
        self, session: HarnessSessionId, asked: QuestionAsked, answers: Sequence[Answer]
    ) -> None:
        """Answer an open question or permission request.

        Raises:
            NotFoundError: the harness no longer waits for it.
        """

    def open_events(self) -> AbstractAsyncContextManager[AsyncIterator[HarnessFrame]]:
        """Subscribe to the harness's events, of all its sessions.

        Entering returns once the first frame has come (within 3 s), so that nothing that happens
        afterwards can be missed. The iterator ends, or raises `SandboxError`, when the connection
        is lost or silent for longer than the harness's heartbeat allows.
        """

    async def fetch_title(self, session: HarnessSessionId) -> str | None:
        """Return the title that the harness found for a session; `None` before it has one."""

    async def end_session(self, session: HarnessSessionId) -> None:
        """End what runs for a session that is being deleted; nothing where nothing does."""

    async def close(self) -> None:
        """Release connections."""


class Translator(Protocol):
    """Turns one session's frames into platform events during one turn. Pure: no clock, no I/O."""

    def translate(self, frame: HarnessFrame) -> list[Translated]:
        """Take the next live frame. Frames of other sessions give nothing."""

    def reconcile(self, history: HarnessHistory) -> list[Translated]:
        """Read the turn's part of the history: everything it shows, from offset 0 on.

        The events may repeat what was said before; whoever writes them keeps what is new. A turn
        that the history shows to be over ends with `TurnEnded`.
        """

    def prompt_is_in(self, history: HarnessHistory) -> bool:
        """Tell whether the turn's prompt has reached the harness."""

    def follows(self, session: HarnessSessionId) -> bool:
        """Tell whether pieces of another session, such as a sub-agent's, are of this turn."""


@dataclass(frozen=True, slots=True)
class LaunchInput:
    """What a harness needs to know to be started, in whatever kind of sandbox.

    Attributes:
        workspace: the project's folder, as seen from inside the sandbox.
        home: the harness's own writable HOME, as seen from inside.
        skills: the read-only skills library, as seen from inside.
        tools: folder with the installed harnesses (local runtime), as seen from inside.
        port: TCP port to listen on.
        model: model id; `family` is its provider family.
        gateway_url: base address of the model gateway, without a path.
        gateway_token: this sandbox generation's own token; the only credential that it gets.
        password: secret for the harness's own port.
    """

    workspace: str
    home: str
    skills: str
    tools: str
    host: str
    port: int
    model: str
    family: ModelFamily
    gateway_url: str
    gateway_token: str
    password: str


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a harness: a command, its environment, and files to lay out beforehand.

    `files` maps a path relative to HOME to its content; `links` a path relative to HOME to an
    absolute target inside the sandbox (for the skills folder).
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[str, str]
    links: Mapping[str, str]


def refuse_turns(session: HarnessSessionId, message: HarnessMessageId) -> Translator:
    """Stand where a translator is asked for a harness that has no turns, such as a terminal.

    Raises:
        HarnessError: always.
    """
    raise HarnessError(f"The session {session} belongs to a terminal, which takes no {message}.")


@dataclass(frozen=True, slots=True)
class Implementation:
    """The code behind a harness's manifest: what its module's function `implement` returns.

    Attributes:
        launch: pure function from `LaunchInput`.
        client: makes a client for an endpoint.
        translator: makes a translator for one turn of a harness session; gets the message id
            under which the turn's prompt is posted.
        session_of: names the harness session that a frame belongs to, cheaply; `None` where it
            belongs to none or to all. Frames of a session that a turn watches go to it alone.
        is_piece: tells whether a frame is a piece of a message, cheaply: it says nothing to a turn
            whose translator does not follow its session.
    """

    launch: Callable[[LaunchInput], Launch]
    client: Callable[[HarnessEndpoint], HarnessClient]
    translator: Callable[[HarnessSessionId, HarnessMessageId], Translator] = refuse_turns
    session_of: Callable[[HarnessFrame], HarnessSessionId | None] = lambda _: None
    is_piece: Callable[[HarnessFrame], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class HarnessType:
    """One kind of harness that can run: facts of its manifest, parts of its implementation.

    Attributes:
        id: the contract's `type`.
        version: the pinned release that is installed and that recordings were made with.
        launch, client, translator, session_of, is_piece: see `Implementation`.
        program: the installed program beneath the tools folder, which local sandboxes need;
            `None` where there is nothing to look for.
        image: of its sandboxes in a cluster, without `cattery-`, registry and tag; `None` is `id`.
        families: those of the models that it can be given.
        needs_memory_bytes: what the harness itself needs at least.
    """

    id: str
    display_name: str
    transport: TransportKind
    version: str
    launch: Callable[[LaunchInput], Launch]
    client: Callable[[HarnessEndpoint], HarnessClient]
    translator: Callable[[HarnessSessionId, HarnessMessageId], Translator] = refuse_turns
    session_of: Callable[[HarnessFrame], HarnessSessionId | None] = lambda _: None
    is_piece: Callable[[HarnessFrame], bool] = lambda _: False
    program: str | None = None
    image: str | None = None
    families: tuple[ModelFamily, ...] = tuple(ModelFamily)
    needs_memory_bytes: int = 0

    @property
    def image_name(self) -> str:
        """The image's name, without `cattery-`, registry and tag."""
        return self.image or self.id
