"""`/ws`: one socket a tab carries the sessions it watches and the feed, by what one may see."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from sqlalchemy import text

from api.socket import BROKEN, MAX_MESSAGE, MAX_SUBSCRIPTIONS, SIGNED_OUT
from cattery.ids import new_id
from cattery.jsontypes import Json, JsonObject
from tests.api.site import API, Person, Site
from tests.api.watching import (
    Tab,
    Watchers,
    open_session,
    share,
    tell,
    until,
    word,
    words,
)


@pytest.fixture
async def tab(watchers: Watchers, ada: Person) -> AsyncIterator[Tab]:
    async with watchers.tab(ada) as made:
        yield made


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cattery.events.channel.LOOK_AGAIN", 0.1)


def event(seq: int, turn_no: int = 1) -> JsonObject:
    return {"seq": seq, "turn_no": turn_no, "type": "message.delta", "data": word(seq).data}


async def test_a_subscription_begins_with_the_log_says_live_and_goes_on(
    site: Site, tab: Tab, session_id: str
) -> None:
    await tell(site, session_id, 1, *words(3))
    await tab.say("subscribe", session_id=session_id, after=0)
    assert await tab.next() == {
        "op": "events",
        "session_id": session_id,
        "events": [event(1), event(2), event(3)],
    }
    assert await tab.next() == {"op": "live", "session_id": session_id, "seq": 3}
    await tell(site, session_id, 1, word(4))
    assert await tab.next() == {"op": "events", "session_id": session_id, "events": [event(4)]}


async def test_an_empty_log_is_live_at_once(tab: Tab, session_id: str) -> None:
    await tab.say("subscribe", session_id=session_id)
    assert await tab.next() == {"op": "live", "session_id": session_id, "seq": 0}


async def test_a_tab_that_comes_back_goes_on_after_what_it_had(
    site: Site, ada: Person, watchers: Watchers, session_id: str
) -> None:
    await tell(site, session_id, 1, *words(4))
    async with watchers.tab(ada) as first:
        await first.say("subscribe", session_id=session_id, after=0)
        assert await first.events(session_id, 4) == [event(n) for n in range(1, 5)]
    await tell(site, session_id, 1, word(5))
    async with watchers.tab(ada) as again:
        await again.say("subscribe", session_id=session_id, after=4)
        assert await again.events(session_id, 5) == [event(5)]


async def test_a_second_subscribe_replaces_the_first_and_unsubscribe_ends_it(
    site: Site, tab: Tab, session_id: str
) -> None:
    await tell(site, session_id, 1, *words(3))
    await tab.say("subscribe", session_id=session_id, after=0)
    await tab.events(session_id, 3)
    await tab.say("subscribe", session_id=session_id, after=2)
    assert await tab.events(session_id, 3) == [event(3)]
    await tell(site, session_id, 1, word(4))
    assert await tab.events(session_id, 4) == [event(4)]
    await tab.say("unsubscribe", session_id=session_id)
    await tab.say("ping")
    assert await tab.next() == {"op": "pong"}
    hub = site.app.state.parts.hub
    await until(lambda: not hub._channels, "the session to be watched no more")
    await tell(site, session_id, 1, word(5))
    await tab.say("ping")
    assert await tab.next() == {"op": "pong"}


async def test_many_sessions_share_a_socket_and_are_told_apart(
    site: Site, ada: Person, tab: Tab
) -> None:
    ids = [await open_session(ada) for _ in range(5)]
    for session_id in ids:
        await tab.say("subscribe", session_id=session_id)
    for number in range(1, 4):
        for session_id in ids:
            await tell(site, session_id, 1, word(number))
    got: dict[str, list[Json]] = {session_id: [] for session_id in ids}
    while not all(len(events) == 3 for events in got.values()):
        frame = await tab.next()
        if frame["op"] == "events":
            events = frame["events"]
            assert isinstance(events, list)
            got[str(frame["session_id"])] += events
    assert list(got.values()) == [[event(1), event(2), event(3)]] * 5


async def test_a_tab_that_knows_more_than_the_log_has_is_told_to_begin_anew(
    site: Site, tab: Tab, session_id: str
) -> None:
    await tell(site, session_id, 1, word(1))
    for after in (2, 2**63):
        await tab.say("subscribe", session_id=session_id, after=after)
        assert [await tab.next() for _ in range(3)] == [
            {"op": "reset", "session_id": session_id, "floor_seq": 0},
            {"op": "events", "session_id": session_id, "events": [event(1)]},
            {"op": "live", "session_id": session_id, "seq": 1},
        ]


async def test_a_session_that_one_may_not_see_is_an_error_of_that_session(
    ada: Person, bob: Person, watchers: Watchers, session_id: str
) -> None:
    async with watchers.tab(bob) as his:
        for wanted in (session_id, str(new_id())):
            await his.say("subscribe", session_id=wanted)
            frame = await his.next()
            assert frame.pop("message")
            assert frame == {"op": "error", "session_id": wanted, "code": "not_found"}


NONSENSE: list[tuple[str, str | bytes]] = [
    ("empty", ""),
    ("no JSON", "{"),
    ("a list", "[]"),
    ("a number", "1"),
    ("null", "null"),
    ("no op", "{}"),
    ("unknown op", '{"op":"dance"}'),
    ("op is a list", '{"op":["feed"]}'),
    ("op is null", '{"op":null}'),
    ("binary", b'{"op":"ping"}'),
    ("too long", '{"op":"ping","x":"' + "x" * MAX_MESSAGE + '"}'),
    ("too deep", "[" * 5_000 + "]" * 5_000),
    ("no session", '{"op":"subscribe"}'),
    ("session is no id", '{"op":"subscribe","session_id":"x"}'),
    ("session is a list", '{"op":"subscribe","session_id":[]}'),
    ("unsubscribe nothing", '{"op":"unsubscribe"}'),
    ("after is text", f'{{"op":"subscribe","session_id":"{new_id()}","after":"1"}}'),
    ("after is negative", f'{{"op":"subscribe","session_id":"{new_id()}","after":-1}}'),
    ("after is true", f'{{"op":"subscribe","session_id":"{new_id()}","after":true}}'),
    ("after is null", f'{{"op":"subscribe","session_id":"{new_id()}","after":null}}'),
    ("after is a fraction", f'{{"op":"subscribe","session_id":"{new_id()}","after":1.5}}'),
]


@pytest.mark.parametrize("frame", [pytest.param(frame, id=name) for name, frame in NONSENSE])
async def test_nonsense_is_answered_with_an_error_and_the_socket_lives_on(
    tab: Tab, frame: str | bytes
) -> None:
    if isinstance(frame, bytes):
        await tab.socket.send_bytes(frame)
    else:
        await tab.socket.send_str(frame)
    answer = await tab.next()
    assert answer["op"] == "error"
    assert answer["code"] in ("bad_request", "not_found")
    assert str(answer["message"]).endswith(".")
    await tab.say("pong")
    await tab.say("unsubscribe", session_id=str(new_id()))
    await tab.say("ping")
    assert await tab.next() == {"op": "pong"}


async def test_the_server_pings_a_silent_tab(
    watchers: Watchers, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.socket.PING_EVERY", 1.0)
    async with watchers.tab(ada) as tab:
        assert await tab.socket.receive_json(timeout=10) == {"op": "ping"}


@pytest.mark.usefixtures("quick_looks")
async def test_a_member_who_was_removed_is_told_and_hears_no_more(
    site: Site, ada: Person, bob: Person, watchers: Watchers, session_id: str
) -> None:
    project_id = await share(ada, session_id, bob)
    async with watchers.tab(bob) as his:
        await his.say("subscribe", session_id=session_id)
        assert (await his.next())["op"] == "live"
        await ada.delete(f"/projects/{project_id}/members/{bob.user_id}")
        frame = await his.next()
        assert (frame["op"], frame["code"], frame["session_id"]) == (
            "error",
            "not_found",
            session_id,
        )
        await tell(site, session_id, 1, word(1))
        await his.say("ping")
        assert await his.next() == {"op": "pong"}


async def test_a_reader_who_is_signed_out_is_closed_with_a_code_of_its_own(
    ada: Person, tab: Tab, site: Site, root: Person
) -> None:
    await tab.say("ping")
    assert await tab.next() == {"op": "pong"}
    assert (await root.delete(f"/admin/users/{ada.user_id}")).status_code == 204
    assert await tab.closed() == SIGNED_OUT


@asynccontextmanager
async def broken_log(site: Site) -> AsyncIterator[None]:
    """Let every reading of the log fail."""
    async with site.database.write() as rows:
        await rows.execute(text("ALTER TABLE session_event RENAME COLUMN data TO lost"))
    try:
        yield
    finally:
        async with site.database.write() as rows:
            await rows.execute(text("ALTER TABLE session_event RENAME COLUMN lost TO data"))


async def test_a_subscription_that_fails_ends_the_socket_so_that_the_tab_comes_back(
    site: Site, tab: Tab, session_id: str
) -> None:
    await tell(site, session_id, 1, word(1))
    async with broken_log(site):
        await tab.say("subscribe", session_id=session_id)
        assert await tab.closed() == BROKEN


async def test_subscriptions_that_ended_do_not_count(site: Site, tab: Tab, session_id: str) -> None:
    for _ in range(MAX_SUBSCRIPTIONS + 5):
        await tab.say("subscribe", session_id=str(new_id()))
        assert (await tab.next())["code"] == "not_found"
    await tab.say("subscribe", session_id=session_id)
    assert (await tab.next())["op"] == "live"


async def test_one_socket_watches_a_bounded_number_of_sessions(
    site: Site, ada: Person, tab: Tab, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.socket.MAX_SUBSCRIPTIONS", 2)
    ids = [session_id, await open_session(ada), await open_session(ada)]
    for each in ids[:2]:
        await tab.say("subscribe", session_id=each)
        assert (await tab.next())["op"] == "live"
    await tab.say("subscribe", session_id=ids[2])
    assert (await tab.next())["code"] == "bad_request"
    await tab.say("subscribe", session_id=ids[1])  # one that it has is no third
    assert (await tab.next())["op"] == "live"


async def test_a_tab_that_goes_leaves_nothing_behind(
    site: Site, ada: Person, watchers: Watchers, session_id: str
) -> None:
    hub = site.app.state.parts.hub
    async with watchers.tab(ada) as tab:
        await tab.say("subscribe", session_id=session_id)
        await tab.say("feed")
        assert (await tab.next())["op"] == "live"
        await until(lambda: len(hub._feeds) == 1, "the feed to be followed")
    await until(lambda: not hub._channels and not hub._feeds, "everything to be let go")


async def feed_until(tab: Tab, last: str) -> list[tuple[object, object, object]]:
    """Read the feed up to an object's change."""
    heard: list[tuple[object, object, object]] = []
    while not heard or heard[-1][1] != last:
        frame = await tab.next()
        assert set(frame) == {"op", "kind", "id", "project_id"}
        heard.append((frame["kind"], frame["id"], frame["project_id"]))
    return heard


async def follow_feed(site: Site, *tabs: Tab) -> None:
    hub = site.app.state.parts.hub
    for tab in tabs:
        await tab.say("feed")
        await tab.say("feed")  # twice is once
    await until(lambda: len(hub._feeds) == len(tabs), "the feed to be followed")


async def test_the_feed_tells_a_projects_people_what_changed_and_strangers_only_that_some_did(
    site: Site, ada: Person, bob: Person, root: Person, watchers: Watchers
) -> None:
    async with watchers.tab(ada) as hers, watchers.tab(bob) as his, watchers.tab(root) as admins:
        await follow_feed(site, hers, his, admins)
        project = await ada.make_project()
        project_id = str(project["project_id"])
        harness_id = str((await ada.make_harness(project))["harness_id"])
        own_id = str((await bob.make_project())["project_id"])
        assert set(await feed_until(his, own_id)) == {
            ("project", None, None),
            ("project", own_id, own_id),
        }
        added = await ada.post(f"/projects/{project_id}/members", {"username": "bob"})
        assert added.status_code == 201
        session = await bob.post(f"/harnesses/{harness_id}/sessions", {})
        session_id = session.json()["session_id"]
        made = {("project", project_id, project_id), ("session", session_id, project_id)}
        assert made <= set(await feed_until(his, session_id))
        theirs = ("project", None, None)  # bob's own project, as ada hears of it
        assert set(await feed_until(hers, session_id)) == {
            *made,
            ("harness", harness_id, project_id),
            theirs,
        }
        admins_id = str((await root.make_project())["project_id"])
        assert set(await feed_until(admins, admins_id)) == {
            theirs,
            ("project", admins_id, admins_id),
        }


async def test_the_feed_tells_of_users_only_to_admins_and_to_themselves(
    site: Site, ada: Person, bob: Person, root: Person, watchers: Watchers
) -> None:
    async with (
        watchers.tab(ada) as hers,
        watchers.tab(bob) as his,
        watchers.tab(root) as admins,
    ):
        await follow_feed(site, hers, his, admins)
        for person in (bob, ada):
            body = {"is_admin": True}
            answer = await root.patch(f"/admin/users/{person.user_id}", body)
            assert answer.status_code == 200
        heard = await feed_until(admins, ada.user_id)
        assert heard == [("user", person.user_id, None) for person in (bob, ada)]
        assert await feed_until(his, bob.user_id) == [("user", bob.user_id, None)]
        assert await feed_until(hers, ada.user_id) == [("user", ada.user_id, None)]


async def test_everybody_is_told_when_the_feed_lost_something(
    site: Site, bob: Person, watchers: Watchers
) -> None:
    hub = site.app.state.parts.hub
    async with watchers.tab(bob) as his:
        await follow_feed(site, his)
        async with site.database.write() as rows:
            await rows.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
                )
            )
        assert await his.next() == {"op": "feed", "kind": "lost", "id": None, "project_id": None}
        assert hub._listening.is_set()


@pytest.mark.parametrize(
    ("headers", "admitted"),
    [
        ({}, False),
        ({"Origin": "https://evil.test"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://{host}.evil.test"}, False),
        ({"Origin": "http://{host}"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://{host}"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
)
async def test_a_cookie_opens_a_socket_only_for_our_own_pages(
    watchers: Watchers, ada: Person, headers: dict[str, str], admitted: bool
) -> None:
    sent = {name: value.format(host=watchers.host) for name, value in headers.items()}
    sent["Cookie"] = f"cattery_session={ada.token}"
    assert await opens(watchers, "/ws", sent) is admitted


async def opens(watchers: Watchers, path: str, headers: dict[str, str]) -> bool:
    url = f"http://{watchers.host}{API}{path}"
    try:
        async with watchers.http.ws_connect(url, headers=headers):
            return True
    except aiohttp.WSServerHandshakeError as refusal:
        return refusal.status != 403


@pytest.mark.parametrize("origin", ["https://ui.test", "null", "http://{host}"])
async def test_a_token_opens_a_socket_from_anywhere(
    watchers: Watchers, ada: Person, origin: str
) -> None:
    headers = {"Origin": origin.format(host=watchers.host), "Sec-Fetch-Site": "cross-site"}
    assert await opens(watchers, f"/ws?token={ada.token}", headers)
    bearer = {"Authorization": f"Bearer {ada.token}"}
    assert await opens(watchers, "/ws", headers | bearer)
