"""opencode's own HTTP surface, where it goes beyond the contract's or answers differently.

Seen in the pinned release: it orders messages by the time at which it stored them and only then
by id, and a turn is over when the newest assistant message's `parentID` is the newest user
message. So an id of ours may even be a little early or late; it is still made in opencode's own
ascending form, because other releases compare ids alone.
"""

import secrets
import string
from collections.abc import Mapping, Sequence
from typing import Final, override

from cattery.clock import utc_now
from cattery.errors import HarnessError, HarnessSessionGoneError, NotFoundError
from cattery.events.model import Answer, QuestionAsked, QuestionKind
from cattery.harnesses.frames import text_of
from cattery.harnesses.http_client import PROBE_TIMEOUT, HttpHarnessClient
from cattery.harnesses.opencode.history import is_title, session_state
from cattery.harnesses.opencode.launch import basic_auth
from cattery.harnesses.opencode.permissions import reply_of
from cattery.harnesses.opencode.questions import question_id
from cattery.harnesses.port import HarnessHistory
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.jsontypes import JsonObject

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_TICKS_PER_MS: Final = 0x1000
_TIME_BITS: Final = 48


class OpencodeClient(HttpHarnessClient):
    """One running `opencode serve`."""

    _last_tick = 0

    @override
    async def check_health(self) -> None:
        # Unknown paths answer 200 with a page for browsers: the status alone says nothing.
        health = await self._call("GET", "/global/health", timeout=PROBE_TIMEOUT)
        if not isinstance(health, dict) or health.get("healthy") is not True:
            raise HarnessError(f"What answers at {self._base} is not a healthy opencode.")

    @override
    def new_message_id(self) -> HarnessMessageId:
        now = int(utc_now().timestamp() * 1000) * _TICKS_PER_MS + 1
        self._last_tick = max(now, self._last_tick + 1)
        time = self._last_tick & ((1 << _TIME_BITS) - 1)
        rest = "".join(secrets.choice(_ALPHABET) for _ in range(14))
        return HarnessMessageId(f"msg_{time:012x}{rest}")

    @override
    async def is_busy(self, session: HarnessSessionId) -> bool:
        statuses = await self._call("GET", "/session/status")
        if not isinstance(statuses, dict):
            raise HarnessError("opencode gave a session status that is not a map.")
        status = statuses.get(session)
        return isinstance(status, dict) and status.get("type") != "idle"

    @override
    async def fetch_title(self, session: HarnessSessionId) -> str | None:
        title = await super().fetch_title(session)
        return title if title and is_title(title) else None

    @override
    async def fetch_history(self, session: HarnessSessionId) -> HarnessHistory:
        """Read the history, and what the session waits for, which the history does not have."""
        messages = await super().fetch_history(session)
        known = await self._call("GET", f"/session/{session}", session=session)
        state = session_state(
            known if isinstance(known, dict) else {},
            await self._waiting("/question"),
            await self._waiting("/permission"),
        )
        return [*messages, state]

    @override
    async def answer(
        self, session: HarnessSessionId, asked: QuestionAsked, answers: Sequence[Answer]
    ) -> None:
        if asked.kind is QuestionKind.PERMISSION:
            path = f"/permission/{asked.question_id}/reply"
            body: JsonObject = {"reply": reply_of(answers)}
        else:
            path = f"/question/{await self._request_of(asked)}/reply"
            body = {"answers": [list(labels) for labels in _in_order(asked, answers)]}
        try:
            await self._call("POST", path, content=body, session=session)
        except HarnessSessionGoneError as error:
            raise NotFoundError("open question") from error

    async def _request_of(self, asked: QuestionAsked) -> str:
        """Find the request that waits under our id for a question."""
        for request in await self._waiting("/question"):
            if question_id(request) == asked.question_id:
                return text_of(request, "id")
        raise NotFoundError("open question")

    async def _waiting(self, path: str) -> list[JsonObject]:
        requests = await self._call("GET", path)
        if not isinstance(requests, list):
            return []
        return [request for request in requests if isinstance(request, dict)]

    @override
    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": basic_auth(self._password)} if self._password else {}


def _in_order(asked: QuestionAsked, answers: Sequence[Answer]) -> list[tuple[str, ...]]:
    """Put the answers into the questions' order: opencode tells them apart by place alone.

    Notes become one more label, as opencode's own "type your own answer" does it.
    """
    left = list(answers)
    ordered: list[tuple[str, ...]] = []
    for question in asked.questions:
        found = next((a for a in left if a.question == question.question), None)
        if found is None:
            ordered.append(())
            continue
        left.remove(found)
        notes = found.notes.strip() if found.notes else ""
        ordered.append((*found.selected_labels, notes) if notes else found.selected_labels)
    return ordered
