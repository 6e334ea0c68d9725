"""The client of any harness that serves contract/harness.md over HTTP.

A harness runs code of an agent's making: nothing that it sends is trusted to be small, quick or
well-formed. Each harness type may subclass this where its own surface differs from the contract's.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from datetime import timedelta
from typing import Final, override

import aiohttp
import orjson

from cattery.errors import (
    HarnessError,
    HarnessRejectedError,
    HarnessSessionGoneError,
    NotFoundError,
    SandboxError,
)
from cattery.events.model import Answer, QuestionAsked
from cattery.harnesses.port import HarnessClient, HarnessEndpoint, HarnessFrame, HarnessHistory
from cattery.harnesses.sse import Payload, SkippedEvent, SseParser
from cattery.ids import HarnessMessageId, HarnessSessionId, new_id
from cattery.jsontypes import Json, JsonObject

PROBE_TIMEOUT: Final = timedelta(seconds=1)
"""A harness that has just opened its port may take a request and never answer it."""
REQUEST_TIMEOUT: Final = timedelta(seconds=10)
HISTORY_TIMEOUT: Final = timedelta(seconds=30)
FIRST_FRAME_TIMEOUT: Final = timedelta(seconds=3)
SILENCE_TIMEOUT: Final = timedelta(seconds=30)
"""Three heartbeats of opencode; a stream that is silent for longer is taken for dead."""
MAX_BODY_BYTES: Final = 64 * 1024 * 1024
MAX_QUOTE: Final = 200
"""Letters of a harness's own error that we repeat to a person."""

OVERSIZED_FRAME: Final = "cattery.oversized_frame"
MALFORMED_FRAME: Final = "cattery.malformed_frame"


class HttpHarnessClient(HarnessClient):
    """The contract's plain surface. Opens a connection a request: harnesses close idle ones."""

    def __init__(
        self,
        endpoint: HarnessEndpoint,
        *,
        first_frame: timedelta = FIRST_FRAME_TIMEOUT,
        silence: timedelta = SILENCE_TIMEOUT,
    ) -> None:
        self._base = endpoint.base_url.rstrip("/")
        self._password = endpoint.password
        self._first_frame = first_frame
        self._silence = silence
        self._http: aiohttp.ClientSession | None = None

    @override
    async def check_health(self) -> None:
        sessions = await self._call("GET", "/session", timeout=PROBE_TIMEOUT)
        if not isinstance(sessions, list):
            raise HarnessError(f"What answers at {self._base} is not a harness.")

    @override
    async def create_session(self, *, theme: str) -> HarnessSessionId:
        created = await self._call("POST", "/session", content={"theme": theme})
        session_id = created.get("id") if isinstance(created, dict) else None
        if not isinstance(session_id, str) or not session_id:
            raise HarnessError("The harness opened a session but gave no id for it.")
        return HarnessSessionId(session_id)

    @override
    async def session_exists(self, session: HarnessSessionId) -> bool:
        try:
            await self._call("GET", f"/session/{session}", session=session)
        except HarnessSessionGoneError:
            return False
        return True

    @override
    def new_message_id(self) -> HarnessMessageId:
        return HarnessMessageId(f"msg_{new_id().hex}")

    @override
    async def post_prompt(
        self, session: HarnessSessionId, message: HarnessMessageId, text: str
    ) -> None:
        body: JsonObject = {"messageID": message, "parts": [{"type": "text", "text": text}]}
        await self._call("POST", f"/session/{session}/prompt_async", content=body, session=session)

    @override
    async def fetch_history(self, session: HarnessSessionId) -> HarnessHistory:
        path = f"/session/{session}/message"
        history = await self._call("GET", path, session=session, timeout=HISTORY_TIMEOUT)
        if not isinstance(history, list):
            raise HarnessError("The harness gave a history that is not a list of messages.")
        return [message for message in history if isinstance(message, dict)]

    @override
    async def is_busy(self, session: HarnessSessionId) -> bool:
        known = await self._call("GET", f"/session/{session}", session=session)
        return isinstance(known, dict) and known.get("busy") is True

    @override
    async def fetch_title(self, session: HarnessSessionId) -> str | None:
        known = await self._call("GET", f"/session/{session}", session=session)
        title = known.get("title") if isinstance(known, dict) else None
        return title if isinstance(title, str) and title.strip() else None

    @override
    async def abort(self, session: HarnessSessionId) -> None:
        await self._call("POST", f"/session/{session}/abort", session=session)

    @override
    async def answer(
        self, session: HarnessSessionId, asked: QuestionAsked, answers: Sequence[Answer]
    ) -> None:
        body: JsonObject = {
            "questionId": asked.question_id,
            "answers": [answer.data() for answer in answers],
        }
        try:
            await self._call("POST", f"/session/{session}/answer", content=body, session=session)
        except HarnessSessionGoneError as error:
            raise NotFoundError("open question") from error

    @override
    def open_events(self) -> AbstractAsyncContextManager[AsyncIterator[HarnessFrame]]:
        return self._subscribe("/event")

    @override
    async def end_session(self, session: HarnessSessionId) -> None:
        """Do nothing: a chat's harness keeps no process for a session at rest."""

    @override
    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()
            self._http = None

    def _headers(self) -> Mapping[str, str]:
        """Return the headers of every request; a subclass adds its credential."""
        return {}

    async def _call(
        self,
        method: str,
        path: str,
        *,
        content: JsonObject | None = None,
        session: HarnessSessionId | None = None,
        timeout: timedelta = REQUEST_TIMEOUT,
    ) -> Json:
        """Send one request and read its JSON answer; `None` for an empty one.

        A 404 means that `session` is gone, where one is given.
        """
        try:
            async with self._session().request(
                method,
                self._base + path,
                data=orjson.dumps(content) if content is not None else None,
                timeout=aiohttp.ClientTimeout(total=timeout.total_seconds()),
                allow_redirects=False,
            ) as response:
                body = await _read_body(response)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unreachable(error, timeout) from error
        _check_status(response.status, body, session)
        return _parse_answer(body) if body else None

    @asynccontextmanager
    async def _subscribe(self, path: str) -> AsyncIterator[AsyncIterator[HarnessFrame]]:
        async with AsyncExitStack() as opened:
            try:
                async with asyncio.timeout(self._first_frame.total_seconds()):
                    response = await opened.enter_async_context(self._get_stream(path))
                    await self._check_stream(response)
                    frames = _FrameStream(response, self._lost_stream)
                    await frames.wait_for_first()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise self._unreachable(error, self._first_frame) from error
            yield frames

    def _get_stream(self, path: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._session().get(
            self._base + path,
            timeout=aiohttp.ClientTimeout(total=None, sock_read=self._silence.total_seconds()),
            headers={"Accept": "text/event-stream"},
            allow_redirects=False,
            read_bufsize=256 * 1024,
        )

    async def _check_stream(self, response: aiohttp.ClientResponse) -> None:
        if response.status != 200:
            _check_status(response.status, await _read_body(response), None)
        if response.content_type != "text/event-stream":
            raise HarnessError(f"The harness at {self._base} gave no event stream.")

    def _lost_stream(self, error: Exception) -> SandboxError:
        return self._unreachable(error, self._silence)

    def _unreachable(self, error: Exception, waited: timedelta) -> SandboxError:
        where = "The harness"
        if isinstance(error, TimeoutError):
            return SandboxError(f"{where} was silent for {waited.total_seconds():g} seconds.")
        if isinstance(error, ConnectionRefusedError) or (
            isinstance(error, aiohttp.ClientConnectorError)
            and isinstance(error.os_error, ConnectionRefusedError)
        ):
            return SandboxError(f"{where} is not running: it refused the connection.")
        return SandboxError("The connection to the harness was lost.")

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=64, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Content-Type": "application/json", **self._headers()},
                skip_auto_headers=("User-Agent", "Accept-Encoding"),
                trust_env=False,
            )
        return self._http


class _FrameStream(AsyncIterator[HarnessFrame]):
    """The frames of an open response. No generator: a cancelled `anext` must not end it."""

    def __init__(
        self, response: aiohttp.ClientResponse, lost: Callable[[Exception], SandboxError]
    ) -> None:
        self._content = response.content
        self._lost = lost
        self._parser = SseParser()
        self._ready: deque[Payload] = deque()

    async def wait_for_first(self) -> None:
        """Return when a frame can be read without waiting."""
        if not self._ready and not await self._fill():
            raise SandboxError("The harness closed its event stream before the first event.")

    @override
    async def __anext__(self) -> HarnessFrame:
        if not self._ready and not await self._fill():
            raise StopAsyncIteration
        return _parse_frame(self._ready.popleft())

    async def _fill(self) -> bool:
        """Read until a frame is there; false at the stream's end."""
        try:
            while not self._ready:
                chunk = await self._content.readany()
                if not chunk and self._content.at_eof():
                    return False
                self._ready.extend(self._parser.feed(chunk))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._lost(error) from error
        return True


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise HarnessError(
                f"The harness answered with more than {MAX_BODY_BYTES // 1024**2} MiB at once."
            )
        pieces.append(piece)
    return b"".join(pieces)


def _check_status(status: int, body: bytes, session: HarnessSessionId | None) -> None:
    """Turn every status but 2xx into the error that says whether repeating the call can help."""
    if 200 <= status < 300:
        return
    if status == 404 and session is not None:
        raise HarnessSessionGoneError(f"The harness no longer knows the session {session}.")
    reason = _quote(body)
    if status in (401, 403):
        raise HarnessRejectedError("The harness did not accept our password. Restart its sandbox.")
    if 400 <= status < 500:
        raise HarnessRejectedError(f"The harness refused the request ({status}): {reason}")
    raise HarnessError(f"The harness failed at the request ({status}): {reason}")


def _quote(body: bytes) -> str:
    """Cut a foreign error down to what a person may need of it, on one line."""
    text = " ".join(body[: MAX_QUOTE * 4].decode("utf-8", "replace").split())
    return text[:MAX_QUOTE] or "it gave no reason"


def _parse_answer(body: bytes) -> Json:
    try:
        answer: Json = orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    else:
        return answer
    try:
        # orjson is strict about UTF-8 and lone surrogates, and a tool's output may be anything.
        answer = json.loads(body.decode("utf-8", "replace"))
    except ValueError as error:
        raise HarnessError("The harness answered with something other than JSON.") from error
    return answer


def _parse_frame(payload: Payload) -> HarnessFrame:
    """Read an event; what is no JSON object becomes a frame of our own type, not an error."""
    if isinstance(payload, SkippedEvent):
        reason = (
            f"The agent sent an event of more than {payload.limit // 1024**2} MiB, which was not "
            "read. What it says of the answer is looked for in the agent's history."
        )
        return {"type": OVERSIZED_FRAME, "properties": {"limit": payload.limit, "reason": reason}}
    try:
        frame = _parse_answer(payload)
    except HarnessError:
        frame = None
    if isinstance(frame, dict):
        return frame
    return {"type": MALFORMED_FRAME, "properties": {"preview": _quote(payload)}}
