"""The watcher's contract (docs/watcher-cases.json), as the Python client keeps it over HTTP.

The same cases are put to the UI's client in web/src/api/contract.test.ts.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, override

import orjson
import pytest

from clients.cattery_client import STREAM_RESET, NoAccessError, SessionLog, follow

CASES = orjson.loads((Path(__file__).parents[2] / "docs" / "watcher-cases.json").read_bytes())

type Step = dict[str, Any]


class ScriptedSite:
    """A site that plays a case: each request takes the steps up to the next `asked`."""

    def __init__(self, steps: list[Step]) -> None:
        self._steps = list(steps)
        self.faults: list[str] = []

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if not self._steps:
            request.send_error(404)
            return
        step = self._steps.pop(0)
        asked = request.headers["Last-Event-ID"]
        if "asked" not in step or asked != str(step["asked"]):
            self.faults.append(f"asked for {asked} where the next step was {step}")
        if request.path != "/api/v1/sessions/s/events":
            self.faults.append(f"asked for {request.path}")
        if request.headers["Authorization"] != "Bearer token":
            self.faults.append("did not say who asks")
        if step.get("refused"):
            request.send_error(step["refused"])
            return
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.end_headers()
        request.wfile.write(b"retry: 1000\n\n")
        while self._steps and "asked" not in self._steps[0]:
            request.wfile.write(_bytes_of(self._steps.pop(0)))


def _bytes_of(step: Step) -> bytes:
    match step:
        case {"events": events}:
            return b"".join(b"id: %d\ndata: %b\n\n" % (e["seq"], orjson.dumps(e)) for e in events)
        case {"reset": floor}:
            data = {"seq": 0, "turn_no": 0, "type": STREAM_RESET, "data": {"floorSeq": floor}}
            return b"data: %b\n\n" % orjson.dumps(data)
        case {"ping": True}:
            return b": ping\n\n"
        case _:
            return b""  # the connection ends with the request's last step


@contextmanager
def serving(site: ScriptedSite) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        @override
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clients.cattery_client.FIRST_DELAY", 0.001)
    monkeypatch.setattr("clients.cattery_client.LONGEST_DELAY", 0.01)


def watch(site: ScriptedSite) -> tuple[SessionLog, list[dict[str, Any]]]:
    """Follow until the site has no more steps and refuses."""
    log = SessionLog()
    events: list[dict[str, Any]] = []
    with serving(site) as url, pytest.raises(NoAccessError) as refused:
        events.extend(follow(url, "token", "s", log=log))
    assert refused.value.status == 404
    return log, events


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["name"])
def test_the_python_client_keeps_the_contract(case: dict[str, Any]) -> None:
    site = ScriptedSite(case["steps"])
    log, events = watch(site)
    assert site.faults == []
    assert {
        "after": log.after,
        "texts": log.texts,
        "resets": sum(event["type"] == STREAM_RESET for event in events),
    } == case["then"]


def test_a_number_that_the_log_has_not_is_asked_for_once_and_begins_anew() -> None:
    said = {"seq": 1, "turn_no": 1, "type": "message.delta", "data": {"partId": "p", "text": "a"}}
    site = ScriptedSite(
        [
            {"asked": 0},
            {"events": [said, {**said, "seq": 2}]},
            {"asked": 2, "refused": 400},
            {"asked": 0},
            {"events": [{**said, "data": {"partId": "new", "text": "b"}}]},
        ]
    )
    log, events = watch(site)
    assert site.faults == []
    assert [event["seq"] for event in events] == [1, 2, 0, 1]
    assert (log.after, log.texts) == (1, {"new": "b"})


def test_a_site_that_is_away_for_a_while_is_asked_again() -> None:
    site = ScriptedSite([{"asked": 0, "refused": 503}, {"asked": 0, "refused": 429}, {"asked": 0}])
    log, _ = watch(site)
    assert site.faults == []
    assert log.after == 0
