"""Rights of open streams: a change costs one look a process, however many streams look at it."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import pytest
from sqlalchemy import Connection, event, text

from api.rights import StandingRights
from cattery.auth.access import Caller
from cattery.db.standings import Claim, Standing, find_standings
from cattery.events.hub import StreamHub
from cattery.ids import AuthSessionId, ProjectId, SessionId, UserId, new_id, parse_id
from tests.api.site import Person, Site
from tests.api.watching import Watchers, open_session, share, tell, word


@contextmanager
def checks_of(site: Site) -> Iterator[list[str]]:
    """Gather the statements that ask for standings."""
    asked: list[str] = []

    def hear(_: Connection, __: object, statement: str, *___: object) -> None:
        if "unnest" in statement and "auth_session" in statement:
            asked.append(statement)

    engine = site.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", hear)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", hear)


async def caller(site: Site, person: Person) -> Caller:
    user_id = parse_id(person.user_id)
    async with site.database.read() as rows:
        sign_in = await rows.scalar(
            text("SELECT id FROM auth_session WHERE user_id = :id"), {"id": user_id}
        )
    assert user_id is not None
    return Caller(UserId(user_id), person.name, False, AuthSessionId(sign_in))


async def test_each_claim_is_answered_for_itself(
    site: Site, ada: Person, bob: Person, root: Person, session_id: str
) -> None:
    project_id = parse_id(await share(ada, session_id, bob))
    other_id = parse_id(await open_session(ada))
    shared_id = parse_id(session_id)
    assert shared_id
    assert other_id
    assert project_id
    hers, his, roots = [await caller(site, person) for person in (ada, bob, root)]

    def claim(user: Caller, **seen: object) -> Claim:
        return Claim(user.user_id, user.auth_session_id, **seen)  # type: ignore[arg-type]

    nobody = AuthSessionId(new_id())
    expected = {
        claim(hers): Standing(signed_in=True, may_see=True),
        claim(hers, session_id=other_id): Standing(signed_in=True, may_see=True),
        claim(his, session_id=shared_id): Standing(signed_in=True, may_see=True),
        claim(his, session_id=other_id): Standing(signed_in=True, may_see=False),
        claim(his, project_id=project_id): Standing(signed_in=True, may_see=True),
        claim(roots, session_id=shared_id): Standing(signed_in=True, may_see=False),
        claim(roots, project_id=project_id): Standing(signed_in=True, may_see=False),
        claim(his, session_id=SessionId(new_id())): Standing(signed_in=True, may_see=False),
        claim(his, project_id=ProjectId(new_id())): Standing(signed_in=True, may_see=False),
        Claim(his.user_id, nobody, shared_id): Standing(signed_in=False, may_see=True),  # type: ignore[arg-type]
        Claim(his.user_id, hers.auth_session_id): Standing(signed_in=False, may_see=True),
    }
    async with site.database.read() as rows:
        assert await find_standings(rows, list(expected)) == list(expected.values())


async def test_a_thousand_grants_that_look_at_once_cost_two_statements(
    site: Site, ada: Person, session_id: str
) -> None:
    rights: StandingRights = site.app.state.parts.rights
    user, seen = await caller(site, ada), parse_id(session_id)
    assert seen is not None
    grants = [rights.grant(user, session_id=SessionId(seen)) for _ in range(500)]
    grants += [rights.grant(user, session_id=SessionId(new_id())) for _ in range(500)]
    with checks_of(site) as asked:
        held = await asyncio.gather(*(grant.holds() for grant in grants))
        assert held == [True] * 500 + [False] * 500
        assert len(asked) <= 2
        assert not any(grant.is_due() for grant in grants)
        site.app.state.parts.hub.access_epoch += 1
        assert all(grant.is_due() for grant in grants)
        assert await asyncio.gather(*(grant.holds() for grant in grants)) == held
        assert len(asked) <= 4
    del grants
    assert not rights._verdicts


async def test_a_check_that_began_before_a_change_does_not_answer_for_after_it(
    site: Site, ada: Person, bob: Person, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_id = await share(ada, session_id, bob)
    hub: StreamHub = site.app.state.parts.hub
    rights: StandingRights = site.app.state.parts.rights
    user, seen = await caller(site, bob), parse_id(session_id)
    assert seen is not None
    grant = rights.grant(user, session_id=SessionId(seen))
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(*arguments: object) -> list[Standing]:
        found = await find_standings(*arguments)  # type: ignore[arg-type]
        reached.set()
        await go_on.wait()
        return found

    monkeypatch.setattr("api.rights.find_standings", slowly)
    first = asyncio.create_task(grant.holds())
    await reached.wait()
    before = hub.access_epoch
    answer = await ada.delete(f"/projects/{project_id}/members/{bob.user_id}")
    assert answer.status_code == 204
    async with asyncio.timeout(10):
        while hub.access_epoch == before:
            await asyncio.sleep(0.01)
    second = asyncio.create_task(grant.holds())
    await asyncio.sleep(0)
    go_on.set()
    assert await first
    assert not await second


async def test_a_check_that_fails_fails_its_askers_and_no_later_one(
    site: Site, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    rights: StandingRights = site.app.state.parts.rights
    grant = rights.grant(await caller(site, ada))

    async def broken(*_: object) -> list[Standing]:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr("api.rights.find_standings", broken)
        failed = await asyncio.gather(grant.holds(), grant.holds(), return_exceptions=True)
    assert [type(each) for each in failed] == [ConnectionError, ConnectionError]
    assert grant.is_due()
    assert await grant.holds()


async def test_streams_and_sockets_of_many_tabs_share_the_look_at_a_change(
    site: Site, ada: Person, bob: Person, session_id: str, watchers: Watchers
) -> None:
    project_id = await share(ada, session_id, bob)
    path = f"/sessions/{session_id}/events"
    async with AsyncExitStack() as stack:
        hers = [await stack.enter_async_context(watchers.stream(ada, path)) for _ in range(20)]
        his = [await stack.enter_async_context(watchers.stream(bob, path)) for _ in range(20)]
        tabs = [await stack.enter_async_context(watchers.tab(ada)) for _ in range(20)]
        for tab in tabs:
            await tab.say("subscribe", session_id=session_id)
            assert (await tab.next())["op"] == "live"
        await tell(site, session_id, 1, word(1))
        for stream in hers + his:
            assert await stream.take(1)
        with checks_of(site) as asked:
            await ada.delete(f"/projects/{project_id}/members/{bob.user_id}")
            await tell(site, session_id, 1, word(2))  # everybody looks before it is sent
            for stream in his:
                assert await stream.rest() == []
            for stream in hers:
                assert await stream.take(1)
            # 60 streams and 20 sockets' guards: each alone would be 100 to 140 statements.
            assert 1 <= len(asked) <= 15
