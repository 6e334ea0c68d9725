"""`GET /sessions/{id}/events`: every event once and in order, for as long as one may read."""

from uuid import UUID

import pytest
from sqlalchemy import text

from api import streams
from cattery.events.channel import LOOK_AGAIN
from cattery.events.hub import StreamHub
from cattery.ids import UserId
from tests.api.site import Person, Site, refused
from tests.api.watching import (
    EventStream,
    Watchers,
    idle,
    open_session,
    share,
    tell,
    until,
    word,
    words,
)


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have streams look at once whether rights changed, not within five seconds."""
    monkeypatch.setattr("cattery.events.channel.LOOK_AGAIN", 0.1)


async def test_a_stream_gives_each_event_with_its_number_as_id(
    site: Site, ada: Person, watchers: Watchers, session_id: str
) -> None:
    await tell(site, session_id, 1, word(1), word(2))
    async with watchers.stream(ada, f"/sessions/{session_id}/events") as stream:
        assert stream.response.headers["Cache-Control"] == "no-cache"
        assert stream.response.headers["X-Accel-Buffering"] == "no"
        assert await stream.block() == b"retry: 1000\n\n"
        told = [
            (n, {"seq": n, "turn_no": 1, "type": "message.delta", "data": word(n).data})
            for n in (1, 2)
        ]
        assert await stream.take(2) == told
        await tell(site, session_id, 2, idle(2))
        assert await stream.next() == (
            3,
            {"seq": 3, "turn_no": 2, "type": "session.idle", "data": {"outcome": "completed"}},
        )


async def ids(stream: EventStream, count: int) -> list[int]:
    return [number for number, _ in await stream.take(count)]


async def test_a_long_log_comes_whole_and_in_order_before_what_is_live(
    site: Site, ada: Person, watchers: Watchers, session_id: str
) -> None:
    async with site.database.write() as rows:
        await rows.execute(
            text(
                "INSERT INTO session_event (session_id, seq, turn_no, type, data)"
                " SELECT :id, n, 1, 'turn.status', '{}' FROM generate_series(1, 1300) n"
            ),
            {"id": session_id},
        )
        await rows.execute(
            text("UPDATE session_stream SET last_seq = 1300 WHERE session_id = :id"),
            {"id": session_id},
        )
    async with watchers.stream(ada, f"/sessions/{session_id}/events") as stream:
        assert await ids(stream, 700) == list(range(1, 701))
        await tell(site, session_id, 1, word(1))
        assert await ids(stream, 601) == list(range(701, 1302))


@pytest.mark.parametrize(
    ("query", "header", "first"),
    [
        ("", None, 1),
        ("?after=0", None, 1),
        ("?after=3", None, 4),
        ("", "3", 4),
        ("", "5", 6),
        ("?after=1", "4", 5),
        ("?after=2", "", 3),
    ],
)
async def test_a_reader_goes_on_after_what_it_had_last(
    site: Site,
    ada: Person,
    watchers: Watchers,
    session_id: str,
    query: str,
    header: str | None,
    first: int,
) -> None:
    await tell(site, session_id, 1, *words(5))
    headers = {} if header is None else {"Last-Event-ID": header}
    path = f"/sessions/{session_id}/events{query}"
    async with watchers.stream(ada, path, headers=headers) as stream:
        await tell(site, session_id, 1, word(6))
        assert await ids(stream, 7 - first) == list(range(first, 7))


@pytest.mark.parametrize("cursor", ["3", "99", "-1", "x", "1.0", "٣", "1e1", "9" * 30, " "])
@pytest.mark.parametrize("way", ["header", "query"])
async def test_a_number_that_is_none_or_lies_in_the_future_is_refused(
    site: Site, ada: Person, session_id: str, cursor: str, way: str
) -> None:
    await tell(site, session_id, 1, *words(2))
    path = f"/sessions/{session_id}/events"
    if way == "query":
        answer = await ada.get(path, params={"after": cursor})
    else:
        answer = await ada.get(path, headers={"Last-Event-ID": cursor.encode()})
    refused(answer, 400)


async def test_only_who_may_see_the_session_may_watch_it(
    ada: Person, bob: Person, site: Site, session_id: str
) -> None:
    refused(await bob.get(f"/sessions/{session_id}/events"), 404)
    refused(await ada.get("/sessions/nothing/events"), 404)
    async with site.client() as anonymous:
        refused(await anonymous.get(f"/api/v1/sessions/{session_id}/events"), 401)
        token = {"token": ada.token}
        refused(await anonymous.get(f"/api/v1/sessions/{session_id}/events", params=token), 401)


@pytest.mark.usefixtures("quick_looks")
async def test_the_stream_of_a_member_who_was_removed_ends_and_no_other(
    site: Site, ada: Person, bob: Person, watchers: Watchers, session_id: str
) -> None:
    project_id = await share(ada, session_id, bob)
    path = f"/sessions/{session_id}/events"
    async with watchers.stream(ada, path) as hers, watchers.stream(bob, path) as his:
        await tell(site, session_id, 1, word(1))
        assert await ids(hers, 1) == await ids(his, 1) == [1]
        answer = await ada.delete(f"/projects/{project_id}/members/{bob.user_id}")
        assert answer.status_code == 204
        assert await his.rest() == []
        await tell(site, session_id, 1, word(2))
        assert await ids(hers, 1) == [2]
    refused(await bob.get(path), 404)


@pytest.mark.usefixtures("quick_looks")
async def test_a_member_who_was_removed_gets_nothing_that_is_said_afterwards(
    site: Site, ada: Person, bob: Person, watchers: Watchers, session_id: str
) -> None:
    project_id = await share(ada, session_id, bob)
    async with watchers.stream(bob, f"/sessions/{session_id}/events") as his:
        assert await his.block() == b"retry: 1000\n\n"
        await ada.delete(f"/projects/{project_id}/members/{bob.user_id}")
        await tell(site, session_id, 1, *words(3))
        assert await his.rest() == []


@pytest.mark.usefixtures("quick_looks")
async def test_the_stream_of_somebody_who_was_signed_out_ends(
    site: Site, watchers: Watchers
) -> None:
    person = await site.sign_up("eve", password="old password")
    session_id = await open_session(person)
    path = f"/sessions/{session_id}/events"
    other = await site.sign_in("eve", site_user(person))
    async with watchers.stream(person, path) as kept, watchers.stream(other, path) as ended:
        body = {"old_password": "old password", "new_password": "new password"}
        assert (await person.post("/auth/change-password", body)).status_code == 204
        assert await ended.rest() == []
        await tell(site, session_id, 1, word(1))
        assert await ids(kept, 1) == [1]


def site_user(person: Person) -> UserId:
    return UserId(UUID(person.user_id))


@pytest.mark.usefixtures("quick_looks")
async def test_the_stream_of_a_user_who_was_deleted_ends(
    site: Site, ada: Person, bob: Person, root: Person, watchers: Watchers, session_id: str
) -> None:
    await share(ada, session_id, bob)
    async with watchers.stream(bob, f"/sessions/{session_id}/events") as stream:
        assert (await root.delete(f"/admin/users/{bob.user_id}")).status_code == 204
        assert await stream.rest() == []


@pytest.mark.usefixtures("quick_looks")
async def test_a_sign_in_that_expires_in_silence_ends_its_streams_too(
    site: Site,
    ada: Person,
    watchers: Watchers,
    session_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.rights.RECHECK_EVERY", 0.2)
    monkeypatch.setattr("api.streams.PING_EVERY", 0.1)
    async with watchers.stream(ada, f"/sessions/{session_id}/events") as stream:
        await tell(site, session_id, 1, word(1))
        assert await ids(stream, 1) == [1]
        async with site.database.write() as rows:  # nobody is told
            await rows.execute(text("UPDATE auth_session SET expires_at = now()"))
        assert await stream.rest() == []


def test_rights_are_looked_at_every_five_seconds_and_silence_is_broken_every_15() -> None:
    assert LOOK_AGAIN <= 5
    assert streams.PING_EVERY <= 15


@pytest.mark.usefixtures("quick_looks")
async def test_a_silent_stream_says_that_it_lives(
    site: Site,
    ada: Person,
    watchers: Watchers,
    session_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.streams.PING_EVERY", 0.1)
    async with watchers.stream(ada, f"/sessions/{session_id}/events") as stream:
        assert [await stream.block() for _ in range(3)] == [
            b"retry: 1000\n\n",
            b": ping\n\n",
            b": ping\n\n",
        ]
        await tell(site, session_id, 1, word(1))
        assert await ids(stream, 1) == [1]


async def test_a_reader_that_goes_away_leaves_nothing_behind(
    site: Site, ada: Person, watchers: Watchers, session_id: str
) -> None:
    hub: StreamHub = site.app.state.parts.hub
    async with watchers.stream(ada, f"/sessions/{session_id}/events") as stream:
        await tell(site, session_id, 1, word(1))
        assert await ids(stream, 1) == [1]
        assert UUID(session_id) in hub._channels
    await until(lambda: UUID(session_id) not in hub._channels, "the watcher to be forgotten")
