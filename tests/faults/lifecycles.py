"""The lifecycles that are cut: what is there before, what somebody does, and what must come of it.

What the API process does (rows, then words to workflows) is done here as it does it; what follows
is the worker's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from sqlalchemy import ColumnElement, Select, func, select, update
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from cattery.db import deletions, harnesses, sessions
from cattery.db.deletions import Asker
from cattery.db.states import HarnessStatus, PromptStatus, SessionStatus
from cattery.db.tables import HarnessRow, ProjectRow, PromptRow, SessionRow, UserRow
from cattery.errors import UnavailableError
from cattery.events.model import EventType
from cattery.ids import DeletionId, HarnessId, ProjectId, PromptId, SessionId, UserId
from cattery.temporal import messages, naming
from cattery.temporal.messages import HarnessSandboxInput, SandboxIdle
from tests.faults.sites import Lane
from tests.workflows.parts import said, text_of

PROMPT = "deltas=6 parts=2 size=1 tools=1 rate=20 think"
SAID = said(6) * 2
ASKS_AGAIN = 3
"""Times that a person tries what the API said it cannot do right now."""
ASK_AGAIN_SECONDS = 1.5
"""Between two of them: longer than Temporal stands by an answer that it knows no such namespace."""


@dataclass
class Scene:
    """The objects of one run."""

    user: UserId
    project: ProjectId
    harnesses: list[HarnessId] = field(default_factory=list)
    sessions: list[SessionId] = field(default_factory=list)
    prompts: list[PromptId] = field(default_factory=list)
    deletion: DeletionId | None = None

    @property
    def harness(self) -> HarnessId:
        return self.harnesses[0]

    @property
    def ids(self) -> list[str]:
        return [str(one) for one in (self.user, self.project, *self.harnesses, *self.sessions)]


type Act = Callable[[Lane, Scene], Awaitable[None]]
type Look = Callable[[Lane, Scene], Awaitable[bool]]


@dataclass(frozen=True)
class Lifecycle:
    """One kind of thing that happens.

    Attributes:
        prepare: brings the scene to where it begins.
        act: what somebody does; it may wait for what the API waits for.
        is_done: whether all that was asked for has come true.
    """

    name: str
    prepare: Sequence[Act]
    act: Act
    is_done: Look


async def set_scene(lane: Lane, *, harnesses: int = 1) -> Scene:
    """Make a user with a project and harnesses that nobody has started yet."""
    platform = lane.platform
    user = await platform.make_user(f"user-{next(lane.numbers)}")
    project = await platform.make_project(user)
    scene = Scene(user, project)
    for _ in range(harnesses):
        scene.harnesses.append(await platform.make_harness(project, user))
    return scene


# What somebody does


async def start(lane: Lane, scene: Scene) -> None:
    """As `POST /harnesses/{id}/sandbox`, and the making of a harness, which does the same."""
    for harness_id in scene.harnesses:
        async with lane.platform.database.write() as rows:
            await harnesses.note_start_requested(rows, scene.project, harness_id)
        await _insist(partial(lane.platform.lifecycles.start_sandbox, harness_id))


async def stop(lane: Lane, scene: Scene) -> None:
    """As `DELETE /harnesses/{id}/sandbox`."""
    await _insist(lambda: lane.platform.lifecycles.stop_sandbox(scene.harness))


async def restart(lane: Lane, scene: Scene) -> None:
    await stop(lane, scene)
    await start(lane, scene)


async def open_session(lane: Lane, scene: Scene) -> None:
    await _insist(lambda: lane.platform.lifecycles.open_session(scene.sessions[0]))


async def store_session(lane: Lane, scene: Scene) -> None:
    """Make the row of a session, of which no workflow knows yet."""
    async with lane.platform.database.write() as rows:
        made = await sessions.create_session(
            rows, scene.project, scene.harness, scene.user, theme="dark"
        )
    scene.sessions.append(made.session_id)


async def prompt(lane: Lane, scene: Scene) -> None:
    session = scene.sessions[0]
    made = await lane.platform.store_prompt(session, scene.user, PROMPT)
    scene.prompts.append(made)
    await _insist(lambda: lane.platform.lifecycles.submit_prompt(session, made))


async def delete_harness(lane: Lane, scene: Scene) -> None:
    async with lane.platform.database.write() as rows:
        await deletions.delete_harness(
            rows, _asker(lane), scene.project, scene.harness, grace=timedelta(0)
        )
    await _insist(lambda: lane.platform.lifecycles.delete_harness(scene.harness))


async def tear_down(lane: Lane, scene: Scene) -> None:
    async with lane.platform.database.write() as rows:
        await deletions.delete_project(rows, _asker(lane), scene.project, grace=timedelta(0))
    await _insist(lambda: lane.platform.lifecycles.delete_project(scene.project))


async def delete_user(lane: Lane, scene: Scene) -> None:
    async with lane.platform.database.write() as rows:
        await deletions.delete_user(rows, _asker(lane), scene.user, grace=timedelta(0))
    await _insist(lambda: lane.platform.lifecycles.delete_user(scene.user))


async def tear_down_later(lane: Lane, scene: Scene) -> None:
    """Delete a project, with a grace in which that can be undone."""
    async with lane.platform.database.write() as rows:
        scene.deletion = await deletions.delete_project(
            rows, _asker(lane), scene.project, grace=timedelta(hours=1)
        )
    await _insist(lambda: lane.platform.lifecycles.delete_project(scene.project))


async def undo(lane: Lane, scene: Scene) -> None:
    """As `POST /deletions/{id}/undo`."""
    assert scene.deletion
    async with lane.platform.database.read() as rows:
        found = await deletions.get_deletion(rows, scene.deletion, lane.admin, is_admin=True)
    await _insist(lambda: lane.platform.lifecycles.undo_deletion(found, "root"))


async def suspend(lane: Lane, scene: Scene) -> None:
    """Have the sweep find a sandbox that nobody has used for long."""
    async with lane.platform.database.write() as rows:
        await rows.execute(
            update(HarnessRow)
            .where(HarnessRow.id == scene.harness)
            .values(used_at=func.now() - timedelta(hours=3))
        )
    await _insist(partial(_tell_to_suspend, lane, scene))


async def _tell_to_suspend(lane: Lane, scene: Scene) -> None:
    try:
        await lane.platform.client.start_workflow(
            messages.HARNESS_SANDBOX,
            HarnessSandboxInput(harness_id=scene.harness, project_id=scene.project),
            id=naming.harness_workflow(scene.harness),
            task_queue=naming.ORCHESTRATION_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=messages.SUSPEND_SANDBOX,
            start_signal_args=[SandboxIdle(generation=1)],
        )
    except RPCError as error:  # the next sweep tells it again
        raise UnavailableError(str(error)) from error


async def _insist(ask: Callable[[], Awaitable[None]]) -> None:
    """Ask again what the API said it cannot do right now, as a person does."""
    for _ in range(ASKS_AGAIN - 1):
        try:
            return await ask()
        except UnavailableError:
            await asyncio.sleep(ASK_AGAIN_SECONDS)
    return await ask()


def _asker(lane: Lane) -> Asker:
    return Asker(lane.admin, "root")


# What must come of it


async def is_ready(lane: Lane, scene: Scene) -> bool:
    return await _has_status(lane, scene, HarnessStatus.READY)


async def is_idle(lane: Lane, scene: Scene) -> bool:
    return await _has_status(lane, scene, HarnessStatus.IDLE)


async def is_open(lane: Lane, scene: Scene) -> bool:
    async with lane.platform.database.read() as rows:
        found = await rows.scalar(
            select(SessionRow.status).where(SessionRow.id == scene.sessions[0])
        )
    assert found is not SessionStatus.FAILED, "the session failed"
    return found is SessionStatus.READY


async def has_answered(lane: Lane, scene: Scene) -> bool:
    """Tell whether the turn has ended, with all that the harness was to say, once."""
    async with lane.platform.database.read() as rows:
        states = (
            await rows.scalars(
                select(PromptRow.status).where(PromptRow.session_id == scene.sessions[0])
            )
        ).all()
    if not states or any(state is not PromptStatus.DONE for state in states):
        return False
    events = await lane.platform.events(scene.sessions[0])
    ends = [event.data.get("outcome") for event in events if event.type == EventType.SESSION_IDLE]
    assert ends == ["completed"], f"the turn ended {ends}"
    assert text_of(events) == SAID, f"the answer is {text_of(events)!r}"
    return True


async def has_no_harness(lane: Lane, scene: Scene) -> bool:
    return await _count(lane, select(func.count()).where(HarnessRow.id == scene.harness)) == 0


async def has_no_project(lane: Lane, scene: Scene) -> bool:
    return await _count(lane, select(func.count()).where(ProjectRow.id == scene.project)) == 0


async def is_asleep(lane: Lane, scene: Scene) -> bool:
    async with lane.platform.database.read() as rows:
        found = await rows.scalar(
            select(HarnessRow.suspended_at).where(HarnessRow.id == scene.harness)
        )
    return found is not None and await is_idle(lane, scene)


async def is_kept(lane: Lane, scene: Scene) -> bool:
    """Tell whether a deletion was undone, and all that it had marked is as before."""
    marked = [
        select(func.count()).where(ProjectRow.id == scene.project, _is_marked(ProjectRow)),
        select(func.count()).where(HarnessRow.id.in_(scene.harnesses), _is_marked(HarnessRow)),
        select(func.count()).where(SessionRow.id.in_(scene.sessions), _is_marked(SessionRow)),
    ]
    return not any([await _count(lane, query) for query in marked])


def _is_marked(table: type[ProjectRow | HarnessRow | SessionRow]) -> ColumnElement[bool]:
    return table.deleting_at.is_not(None)


async def has_no_user(lane: Lane, scene: Scene) -> bool:
    return await _count(lane, select(func.count()).where(UserRow.id == scene.user)) == 0


async def find_harnesses_left(lane: Lane, scene: Scene) -> list[HarnessId]:
    """Return those harnesses of a scene that have a row."""
    async with lane.platform.database.read() as rows:
        found = await rows.scalars(select(HarnessRow.id).where(HarnessRow.id.in_(scene.harnesses)))
        return [HarnessId(one) for one in found]


async def _has_status(lane: Lane, scene: Scene, status: HarnessStatus) -> bool:
    async with lane.platform.database.read() as rows:
        found = (
            await rows.execute(
                select(HarnessRow.status, HarnessRow.failure).where(
                    HarnessRow.id.in_(scene.harnesses)
                )
            )
        ).all()
    for state, failure in found:
        assert state is not HarnessStatus.FAILED, f"the sandbox failed: {failure}"
    return all(state is status for state, _ in found)


async def _count(lane: Lane, query: Select[int]) -> int:
    async with lane.platform.database.read() as rows:
        return await rows.scalar(query) or 0


async def wait(lane: Lane, scene: Scene, look: Look, seconds: float) -> None:
    """Wait until something has come true."""
    async with asyncio.timeout(seconds):
        while not await look(lane, scene):
            await asyncio.sleep(0.1)


def until(look: Look) -> Act:
    """Make a step of a preparation that waits."""

    async def act(lane: Lane, scene: Scene) -> None:
        await wait(lane, scene, look, 60)

    return act


_READY = (start, until(is_ready))
_OPEN = (*_READY, store_session, open_session, until(is_open))
_TALKED = (*_OPEN, prompt, until(has_answered))
_ASLEEP = (*_OPEN, suspend, until(is_asleep))
LIFECYCLES: Sequence[Lifecycle] = (
    Lifecycle("create", (), start, is_ready),
    Lifecycle("open a session", (*_READY, store_session), open_session, is_open),
    Lifecycle("turn", _OPEN, prompt, has_answered),
    Lifecycle("stop", _OPEN, stop, is_idle),
    Lifecycle("start", (*_READY, stop), start, is_ready),
    Lifecycle("restart", _READY, restart, is_ready),
    Lifecycle("suspend", _OPEN, suspend, is_asleep),
    Lifecycle("wake by a prompt", _ASLEEP, prompt, has_answered),
    Lifecycle("delete a harness", _TALKED, delete_harness, has_no_harness),
    Lifecycle("tear down a project", _TALKED, tear_down, has_no_project),
    Lifecycle("undo a deletion", (*_OPEN, tear_down_later), undo, is_kept),
    Lifecycle("delete a user", _TALKED, delete_user, has_no_user),
)
