"""Watches a session of Cattery over server-sent events, with nothing but Python's own library.

Copy this file, or import it. It keeps to the watcher's contract (docs/events.md): every event
once and in order, over any number of broken connections.

    for event in follow("http://127.0.0.1:8080", token, session_id):
        print(event["type"], event["data"])
"""

import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from typing import Any

STREAM_RESET = "stream.reset"
SILENCE = 45.0
"""Seconds without a byte, which the server breaks every 15 to 20, after which a stream is dead."""
FIRST_DELAY, LONGEST_DELAY = 0.25, 10.0

type Event = dict[str, Any]
"""`{seq, turn_no, type, data}`."""


class NoAccessError(Exception):
    """The session cannot be watched: signed out (401), not there or not yours (404), or refused."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _AnotherLogError(Exception):
    """The site's log has not so many events: it was restored, or made anew."""


@dataclass
class SessionLog:
    """What a watcher has of a session: the number of its last event, and the texts so far."""

    after: int = 0
    floor: int = 0
    texts: dict[str, str] = field(default_factory=dict)
    """The text of each part of an answer, by `partId`."""

    def apply(self, event: Event) -> bool:
        """Take in an event; false where it is known already.

        Raises:
            LookupError: events are missing before it. Ask again for what follows `after`.
        """
        if event["type"] == STREAM_RESET:
            self.after, self.floor = 0, event["data"]["floorSeq"]
            self.texts.clear()
            return True
        if event["seq"] <= self.after:
            return False
        if event["seq"] > max(self.after, self.floor) + 1:
            raise LookupError(f"The events between {self.after} and {event['seq']} are missing.")
        self.after = event["seq"]
        self._take_text(event["type"], event["data"])
        return True

    def _take_text(self, kind: str, data: dict[str, Any]) -> None:
        if kind in ("message.delta", "message.thinking"):
            self.texts[data["partId"]] = self.texts.get(data["partId"], "") + data["text"]
        elif kind == "message.reset":
            self.texts[data["partId"]] = data["text"]


def follow(
    url: str, token: str, session_id: str, *, log: SessionLog | None = None
) -> Iterator[Event]:
    """Yield a session's events for ever: those after the log's last one, then live.

    A `stream.reset` among them says that what was yielded before is to be forgotten; the log
    follows from its beginning. To go on later, keep the log, or its `after`.

    Args:
        url: of the site, without `/api/v1`.
        token: from `POST /api/v1/auth/login`.
        session_id: which session.
        log: what is known already; it is kept up to date.

    Raises:
        NoAccessError: the site refuses; anything else is tried again.
    """
    log = log or SessionLog()
    delay = FIRST_DELAY
    while True:
        try:
            with closing(_open(url, token, session_id, log.after)) as stream:
                for event in _read_events(stream):
                    if log.apply(event):
                        delay = FIRST_DELAY
                        yield event
        except _AnotherLogError:
            reset: Event = {"seq": 0, "turn_no": 0, "type": STREAM_RESET, "data": {"floorSeq": 0}}
            log.apply(reset)
            yield reset
        except (OSError, HTTPException, LookupError):
            pass  # broken, silent, or something was missed: come back with the last event
        time.sleep(delay * random.uniform(0.5, 1))  # noqa: S311
        delay = min(delay * 2, LONGEST_DELAY)


def _open(url: str, token: str, session_id: str, after: int) -> HTTPResponse:
    request = urllib.request.Request(  # noqa: S310 - the caller's own site
        f"{url.rstrip('/')}/api/v1/sessions/{session_id}/events",
        headers={"Authorization": f"Bearer {token}", "Last-Event-ID": str(after)},
    )
    try:
        answer: HTTPResponse = urllib.request.urlopen(request, timeout=SILENCE)  # noqa: S310
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 400 and after:
                raise _AnotherLogError from error
            if error.code < 500 and error.code != 429:
                raise NoAccessError(error.code, error.read().decode(errors="replace")) from error
        raise
    return answer


def _read_events(stream: HTTPResponse) -> Iterator[Event]:
    """Read blocks up to a blank line; comments are signs of life."""
    data: list[str] = []
    for line in stream:
        text = line.decode().rstrip("\r\n")
        if text.startswith("data:"):
            data.append(text.removeprefix("data:").removeprefix(" "))
        elif not text and data:
            yield json.loads("\n".join(data))
            data.clear()
