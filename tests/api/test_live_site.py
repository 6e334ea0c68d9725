"""What only shows on a real socket: WebSocket handshakes, and what a server logs."""

import json
import logging
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.api.live import LiveSite, serving
from tests.api.site import API, Person, refused
from tests.conformance import eventually


@pytest.fixture(scope="module")
def live(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    with serving(database_url, tmp_path_factory.mktemp("live")) as site:
        yield site


@pytest.fixture
def ada(live: LiveSite) -> Person:
    return live.run(live.site.sign_up("ada"))


@pytest.fixture
def session_id(live: LiveSite, ada: Person) -> str:
    return make_session(live, ada, "opencode")


def make_session(live: LiveSite, person: Person, harness_type: str) -> str:
    async def make() -> str:
        project = await person.make_project()
        harness = await person.make_harness(project, type=harness_type)
        return str((await person.make_session(harness))["session_id"])

    return live.run(make())


def shake(
    live: LiveSite, path: str, *, cookie: str | None = None, origin: str | None = None
) -> tuple[int, dict[str, str]]:
    """Try a handshake that is to be refused; return the status and body of the answer."""
    with pytest.raises(InvalidStatus) as refusal:
        open_socket(live, path, cookie=cookie, origin=origin)
    response = refusal.value.response
    return response.status_code, json.loads(response.body)


def open_socket(
    live: LiveSite, path: str, *, cookie: str | None = None, origin: str | None = None
) -> ClientConnection:
    return connect(
        f"ws://{live.host}{API}{path}",
        additional_headers={"Cookie": cookie} if cookie else None,
        origin=Origin(origin) if origin else None,
    )


def test_a_terminal_of_a_chat_is_refused_with_the_reason(
    live: LiveSite, ada: Person, session_id: str
) -> None:
    status, body = shake(live, f"/sessions/{session_id}/term?token={ada.token}")
    assert status == 400
    assert set(body) == {"message", "code"}


def test_a_websocket_needs_a_sign_in_and_an_object_that_exists(
    live: LiveSite, ada: Person, session_id: str
) -> None:
    assert shake(live, f"/sessions/{session_id}/term")[0] == 401
    assert shake(live, f"/sessions/{session_id}/term?token=x.y.z")[0] == 401
    assert shake(live, f"/sessions/nothing/term?token={ada.token}")[0] == 404
    assert shake(live, "/ws")[0] == 401


def test_a_websocket_with_a_token_is_not_refused_for_its_origin(
    live: LiveSite, ada: Person
) -> None:
    with open_socket(live, f"/ws?token={ada.token}", origin="https://ui.test"):
        pass


def test_a_websocket_by_cookie_must_come_from_our_own_pages(live: LiveSite, ada: Person) -> None:
    cookie = f"cattery_session={ada.token}"
    assert shake(live, "/ws", cookie=cookie, origin="https://evil.test")[0] == 403
    with open_socket(live, "/ws", cookie=cookie, origin=live.url):
        pass


def test_the_token_never_reaches_a_log(
    live: LiveSite, ada: Person, session_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    terminal = make_session(live, ada, "codex")
    caplog.set_level(logging.DEBUG)
    with httpx.Client(base_url=live.url + API) as client:
        token = {"token": ada.token}
        bearer = {"Authorization": f"Bearer {ada.token}"}
        assert client.get(f"/sessions/{session_id}/export", params=token).status_code == 200
        refused(client.get("/auth/me", params=token), 401)
        assert client.get("/auth/me", headers=bearer).status_code == 200
        cookie = {"Cookie": f"cattery_session={ada.token}"}
        assert client.get("/auth/me", headers=cookie).status_code == 200
    shake(live, f"/sessions/{session_id}/term?token={ada.token}")
    for path in (f"/sessions/{terminal}/term", "/ws"):
        with open_socket(live, f"{path}?token={ada.token}"):
            pass

    def answered() -> int:
        return sum(record.name == "api.access" for record in caplog.records)

    live.run(eventually(lambda: answered() >= 6))  # a socket is logged after its client has left
    ours = [r for r in caplog.records if not r.name.startswith(("httpx", "httpcore", "websockets"))]
    logged = "\n".join(f"{r.getMessage()} {r.__dict__}" for r in ours)
    signature = ada.token.rpartition(".")[2]
    assert ada.token not in logged
    assert signature not in logged
