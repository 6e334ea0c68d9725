"""Records the histories that `tests/replay` replays, by living each workflow's main paths.

    python tests/record_histories.py

Starts PostgreSQL, Temporal and a worker with the scripted harness, and writes
`tests/replay/histories/<workflow type>.<what happened>.json`; with the names of stories as
arguments, such as `live_file_manager`, only theirs. What names a machine (identities,
hosts in the names of sticky queues, stack traces) is left out or replaced. Record again after a
change of a workflow that breaks running ones, and say so in the commit.
"""

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sqlalchemy import text
from temporalio.client import Client, WorkflowHistory
from temporalio.testing import WorkflowEnvironment

from cattery.db import harnesses, sessions, users
from cattery.db.migrate import upgrade
from cattery.db.states import HarnessStatus
from cattery.errors import UnavailableError
from cattery.events.model import Answer, EventType
from cattery.ids import HarnessId, ProjectId, SessionId, UserId
from cattery.jsontypes import Json
from cattery.temporal import messages, naming
from cattery.temporal.client import DATA_CONVERTER
from cattery.temporal.messages import SandboxIdle
from cattery.temporal.schedules import ensure_search_attributes
from tests.conftest import fresh_database
from tests.deletion_stories import (
    live_freed_deletion,
    live_heir,
    live_stuck_deletion,
    live_stuck_session_deletion,
    live_undone_deletions,
)
from tests.fresh_run_stories import (
    FRESH_RUNS,
    SUGGESTED_AFTER,
    live_abort_while_mending,
    live_endless_prompts,
    live_ignored_abort,
    live_large_deletions,
    live_long_wait,
    live_many_starts,
    live_many_turns,
    live_much_used_file_manager,
)
from tests.postgres_server import running_postgres
from tests.scripted_type import SCRIPTED
from tests.workflows.fake_runtime import evict_and_hold, fake_on, wait_until_healed
from tests.workflows.file_managers import cluster_on
from tests.workflows.parts import (
    Platform,
    Registry,
    launching,
    odd_harness,
    platform_on,
    processes_of,
    wait_until_open,
    worker_on,
)

HISTORIES = Path(__file__).parent / "replay" / "histories"
LEFT_OUT = {
    "identity",
    "stackTrace",
    "workerVersion",
    "binaryChecksum",
    "meteringMetadata",
    "workerDeploymentName",
    "deploymentVersion",
}
"""Fields of events that name a machine or a build, or grow without a use for the replay."""
NEVER_UP = launching(lambda _: (sys.executable, "-c", "import time; time.sleep(600)"))
BROKEN = launching(lambda _: (sys.executable, "-c", "raise SystemExit(3)"))


@dataclass(frozen=True)
class Furnished:
    """A platform with one of everything."""

    platform: Platform
    user: UserId
    project: ProjectId
    harness: HarnessId
    session: SessionId


type Story = Callable[[Furnished], Awaitable[dict[str, str]]]
"""Lives something; returns workflow ids by the name of the history that each becomes. Where the
history is not that of the last run, `@` and the run follow."""


async def live_turns(given: Furnished) -> dict[str, str]:
    platform, user, session = given.platform, given.user, given.session
    await wait_until_open(platform, session)
    await platform.prompt(session, user, "ask deltas=3")
    (asked,) = await platform.wait_for_events(session, EventType.QUESTION_ASKED)
    answers = [Answer("Which colour should I use?", ("Blue",))]
    await platform.lifecycles.answer_question(session, str(asked.data["partId"]), answers)
    await platform.prompt(session, user, "deltas=1000 rate=20")
    await platform.prompt(session, user, "deltas=3")
    await platform.wait_for_idles(session, 1)
    await platform.wait_for_events(session, EventType.MESSAGE_DELTA, 8)
    await platform.lifecycles.abort_turn(session, "ada")
    await platform.wait_for_idles(session, 3)
    await platform.prompt(session, user, "fail")
    await platform.wait_for_idles(session, 4)
    return {
        "session.turns": naming.session_workflow(session),
        "harness-sandbox.start": naming.harness_workflow(given.harness),
    }


async def live_late_signals(given: Furnished) -> dict[str, str]:
    platform, user, session = given.platform, given.user, given.session
    await wait_until_open(platform, session)
    stored = [await platform.store_prompt(session, user, "deltas=3") for _ in range(4)]
    for number in (2, 0, 3):  # the second's never comes
        await platform.lifecycles.submit_prompt(session, stored[number])
    await platform.wait_for_idles(session, 4)
    return {"session.late-signals": naming.session_workflow(session)}


async def live_losses(given: Furnished) -> dict[str, str]:
    platform, user, session = given.platform, given.user, given.session
    await wait_until_open(platform, session)
    await platform.prompt(session, user, "deltas=50 die-after=3")
    await platform.wait_for_idles(session, 1)
    await platform.prompt(session, user, "deltas=3")
    await platform.wait_for_idles(session, 2)
    await platform.lifecycles.stop_sandbox(given.harness)
    (state,) = platform.home.glob(f"sandboxes/{given.harness}/**/state.json")
    state.unlink()
    await platform.prompt(session, user, "deltas=3")
    await platform.wait_for_idles(session, 3)
    return {
        "session.lost-agent": naming.session_workflow(session),
        "harness-sandbox.lost-stop-start": naming.harness_workflow(given.harness),
    }


async def live_lost_opening(given: Furnished) -> dict[str, str]:
    await wait_until_open(given.platform, given.session)
    return {"session.opened-after-loss": naming.session_workflow(given.session)}


async def live_late_title(given: Furnished) -> dict[str, str]:
    platform, session = given.platform, given.session
    await platform.prompt(session, given.user, "deltas=3")
    await platform.wait_for_events(session, EventType.SESSION_TITLE)
    return {"session.late-title": naming.session_workflow(session)}


async def live_refused_prompt(given: Furnished) -> dict[str, str]:
    await given.platform.prompt(given.session, given.user, "deltas=3")
    await given.platform.wait_for_idles(given.session, 1)
    return {"session.refused-prompt": naming.session_workflow(given.session)}


async def live_failed_start(given: Furnished) -> dict[str, str]:
    platform = given.platform
    await platform.prompt(given.session, given.user, "deltas=3")
    await platform.wait_for_harness(given.harness, given.user, HarnessStatus.FAILED)
    await platform.wait_for_idles(given.session, 1)
    return {
        "session.failed-opening": naming.session_workflow(given.session),
        "harness-sandbox.failed-start": naming.harness_workflow(given.harness),
    }


async def live_stop_in_start(given: Furnished) -> dict[str, str]:
    platform = given.platform
    await platform.prompt(given.session, given.user, "deltas=3")

    async def starting() -> bool:
        return bool(processes_of(given.harness))

    await platform.until(starting, "the sandbox to start")
    await platform.lifecycles.abort_turn(given.session, "ada")
    await platform.lifecycles.stop_sandbox(given.harness)
    return {
        "session.stopped-opening": naming.session_workflow(given.session),
        "harness-sandbox.stopped-start": naming.harness_workflow(given.harness),
    }


async def live_deletion_of_session(given: Furnished) -> dict[str, str]:
    platform, session = given.platform, given.session
    await wait_until_open(platform, session)
    await platform.prompt(session, given.user, "deltas=1000 rate=20")
    await platform.wait_for_events(session, EventType.MESSAGE_DELTA)
    async with platform.database.write() as rows:
        await sessions.tombstone_session(rows, given.project, session)
    await platform.lifecycles.delete_session(session)
    workflow_id = naming.session_deletion_workflow(session)
    await platform.client.get_workflow_handle(workflow_id).result()
    return {
        "session-deletion.mid-turn": workflow_id,
        "session.closed-mid-turn": naming.session_workflow(session),
    }


async def live_deletion_of_user(given: Furnished) -> dict[str, str]:
    platform = given.platform
    await wait_until_open(platform, given.session)
    root = await platform.make_user("root", is_admin=True)
    async with platform.database.write() as rows:
        await users.tombstone_user(rows, given.user, deleted_by=root)
    await platform.lifecycles.delete_user(given.user)
    workflow_id = naming.user_deletion_workflow(given.user)
    await platform.client.get_workflow_handle(workflow_id).result()
    return {
        "user-deletion.one-project": workflow_id,
        "project-teardown.one-harness": naming.project_teardown_workflow(given.project),
        "harness-deletion.one-session": naming.harness_deletion_workflow(given.harness),
        "harness-sandbox.deleted": naming.harness_workflow(given.harness),
        "session.closed-idle": naming.session_workflow(given.session),
    }


async def live_sweep(given: Furnished) -> dict[str, str]:
    await wait_until_open(given.platform, given.session)
    queue = naming.ORCHESTRATION_QUEUE
    await given.platform.client.execute_workflow(messages.SWEEP, id="sweep", task_queue=queue)
    return {"sweep.nothing-lost": "sweep"}


async def live_file_manager(given: Furnished) -> dict[str, str]:
    platform, project = given.platform, given.project
    async with cluster_on(platform, idle=timedelta(seconds=20)) as cluster:
        tree = cluster.access.workspace_files(project)
        await tree.make_folder("", "docs")
        await cluster.managers.kill(project)
        await tree.list_folder("")
        await platform.lifecycles.ensure_file_manager(project, lost=1)
        await cluster.access.read_log(given.harness)
        await asyncio.sleep(3)  # so that it looks once and finds it used
        handle = platform.client.get_workflow_handle(naming.file_manager_workflow(project))
        await handle.execute_update(messages.STOP_FILE_MANAGER)
        await handle.result()
    return {
        "file-manager.lost-replaced-stopped": naming.file_manager_workflow(project),
        "log-capture.read": naming.log_capture_workflow(given.harness),
    }


async def live_unused_file_manager(given: Furnished) -> dict[str, str]:
    async with cluster_on(given.platform, idle=timedelta(seconds=1)) as cluster:
        await cluster.access.skills().catalog()
        workflow_id = naming.file_manager_workflow(None)
        await given.platform.client.get_workflow_handle(workflow_id).result()
    return {"file-manager.unused": workflow_id}


async def live_stopped_file_manager(given: Furnished) -> dict[str, str]:
    platform, project = given.platform, given.project
    async with cluster_on(platform) as cluster:
        cluster.managers.refusal = "There is no room."
        with suppress(UnavailableError):
            await cluster.access.workspace_files(project).list_folder("")
        cluster.managers.refusal = None
        cluster.managers.gate.clear()
        looking = asyncio.create_task(cluster.access.workspace_files(project).list_folder(""))
        await asyncio.sleep(2)
        workflow_id = naming.file_manager_workflow(project)
        handle = platform.client.get_workflow_handle(workflow_id)
        await handle.execute_update(messages.STOP_FILE_MANAGER)
        await asyncio.gather(looking, return_exceptions=True)
        await handle.result()
    return {"file-manager.failed-then-stopped-in-start": workflow_id}


async def live_recoveries(given: Furnished) -> dict[str, str]:
    async with fake_on(given.platform) as runtime:
        await wait_until_open(given.platform, given.session)
        await runtime.evict(given.harness)
        await wait_until_healed(given.platform, given.harness, given.user, 1)
        runtime.is_silent = True
        await runtime.move(given.harness)
        await given.platform.prompt(given.session, given.user, "deltas=3")
        await given.platform.wait_for_idles(given.session, 1)
        runtime.is_silent = False
        runtime.restart(given.harness)
        await wait_until_healed(given.platform, given.harness, given.user, 3)
    return {"harness-sandbox.healed": naming.harness_workflow(given.harness)}


async def live_too_many_losses(given: Furnished) -> dict[str, str]:
    async with fake_on(given.platform) as runtime:
        await wait_until_open(given.platform, given.session)
        for count in (1, 2, 3):
            await runtime.evict(given.harness)
            await wait_until_healed(given.platform, given.harness, given.user, count)
        await runtime.evict(given.harness)
        await given.platform.wait_for_harness(given.harness, given.user, HarnessStatus.FAILED)
        workflow_id = naming.harness_workflow(given.harness)
        await given.platform.client.get_workflow_handle(workflow_id).result()
    return {"harness-sandbox.given-up": workflow_id}


async def live_wait_for_room(given: Furnished) -> dict[str, str]:
    async with fake_on(given.platform) as runtime:
        runtime.refusals = ["The quota is used up."]
        await wait_until_open(given.platform, given.session)
    return {"harness-sandbox.waited-for-quota": naming.harness_workflow(given.harness)}


async def live_stop_while_waiting(given: Furnished) -> dict[str, str]:
    async with fake_on(given.platform) as runtime:
        runtime.refusals = ["The quota is used up."] * 100

        async def waits() -> bool:
            row = await given.platform.harness_row(given.harness, given.user)
            return row.waiting is not None

        await given.platform.until(waits, "the sandbox to wait for room")
        await asyncio.sleep(1)  # so that it waits between two tries
        await given.platform.lifecycles.stop_sandbox(given.harness)
    return {"harness-sandbox.stopped-while-waiting": naming.harness_workflow(given.harness)}


async def live_deletion_while_recovering(given: Furnished) -> dict[str, str]:
    platform = given.platform
    async with fake_on(platform) as runtime:
        await wait_until_open(platform, given.session)
        await evict_and_hold(platform, runtime, given.harness)
        async with platform.database.write() as rows:
            await harnesses.tombstone_harness(rows, given.project, given.harness)
        await platform.lifecycles.delete_harness(given.harness)
        deletion = naming.harness_deletion_workflow(given.harness)
        await platform.client.get_workflow_handle(deletion).result()
    return {"harness-sandbox.deleted-while-recovering": naming.harness_workflow(given.harness)}


async def live_suspension(given: Furnished) -> dict[str, str]:
    """Be found idle while in use, then sleep, wake by a prompt, and sleep again for good."""
    platform = given.platform
    entity = platform.client.get_workflow_handle(naming.harness_workflow(given.harness))

    async def rest() -> None:
        async with platform.database.write() as rows:
            await rows.execute(
                text(
                    "UPDATE harness SET idle_timeout_seconds = 60,"
                    " used_at = now() - interval '1 hour'"
                )
            )

    async def sleep() -> None:
        await rest()
        assert (await platform.sweep()).idle == 1
        await platform.wait_for_harness(given.harness, given.user, HarnessStatus.IDLE)

    await wait_until_open(platform, given.session)
    await platform.prompt(given.session, given.user, "deltas=1000 rate=20")
    await platform.wait_for_events(given.session, EventType.MESSAGE_DELTA)
    await rest()
    await entity.signal(messages.SUSPEND_SANDBOX, SandboxIdle(generation=1))
    await platform.lifecycles.abort_turn(given.session, "ada")
    await platform.wait_for_idles(given.session, 1)
    await sleep()
    await platform.prompt(given.session, given.user, "deltas=3")
    await platform.wait_for_idles(given.session, 2)
    await sleep()
    await entity.result()
    return {
        "harness-sandbox.suspended-woken": naming.harness_workflow(given.harness),
        "session.woke-its-sandbox": naming.session_workflow(given.session),
    }


STORIES: list[tuple[Story, Registry]] = [
    (live_turns, SCRIPTED),
    (live_late_signals, SCRIPTED),
    (live_losses, SCRIPTED),
    (live_lost_opening, odd_harness("die-opening")),
    (live_late_title, odd_harness("late-title")),
    (live_refused_prompt, odd_harness("fail-prompts")),
    (live_failed_start, BROKEN),
    (live_stop_in_start, NEVER_UP),
    (live_deletion_of_session, SCRIPTED),
    (live_deletion_of_user, SCRIPTED),
    (live_sweep, SCRIPTED),
    (live_file_manager, SCRIPTED),
    (live_unused_file_manager, SCRIPTED),
    (live_stopped_file_manager, SCRIPTED),
    (live_recoveries, SCRIPTED),
    (live_too_many_losses, SCRIPTED),
    (live_wait_for_room, SCRIPTED),
    (live_stop_while_waiting, SCRIPTED),
    (live_deletion_while_recovering, SCRIPTED),
    (live_suspension, SCRIPTED),
    (live_undone_deletions, SCRIPTED),
    (live_stuck_deletion, SCRIPTED),
    (live_freed_deletion, SCRIPTED),
    (live_heir, SCRIPTED),
    (live_stuck_session_deletion, SCRIPTED),
    (live_ignored_abort, odd_harness("ignore-abort")),
    (live_abort_while_mending, SCRIPTED),
    (live_many_turns, SCRIPTED),
    (live_endless_prompts, SCRIPTED),
    (live_many_starts, SCRIPTED),
    (live_long_wait, SCRIPTED),
    (live_much_used_file_manager, SCRIPTED),
    (live_large_deletions, SCRIPTED),
]

WITH_WORKER = frozenset(
    {
        live_file_manager,
        live_unused_file_manager,
        live_stopped_file_manager,
        live_recoveries,
        live_too_many_losses,
        live_wait_for_room,
        live_stop_while_waiting,
        live_deletion_while_recovering,
        live_stuck_deletion,
        live_freed_deletion,
        live_abort_while_mending,
        live_long_wait,
        live_much_used_file_manager,
    }
)
"""Stories that host the workers themselves."""


async def record() -> None:
    temporal = shutil.which("temporal", path=str(Path(sys.executable).parent))
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "postgres").mkdir()
        server = stack.enter_context(running_postgres(folder / "postgres"))
        clients = []
        for limit in (4_096, SUGGESTED_AFTER):
            suggestion = f"limit.historyCount.suggestContinueAsNew={limit}"
            environment = await stack.enter_async_context(
                await WorkflowEnvironment.start_local(
                    dev_server_existing_path=temporal,
                    data_converter=DATA_CONVERTER,
                    dev_server_log_level="error",
                    dev_server_extra_args=["--dynamic-config-value", suggestion],
                )
            )
            await ensure_search_attributes(environment.client)
            clients.append(environment.client)
        HISTORIES.mkdir(parents=True, exist_ok=True)
        wanted = [one for one in STORIES if one[0].__name__ in sys.argv[1:]] or STORIES
        for number, (story, registry) in enumerate(wanted):
            with fresh_database(server, f"story_{number}") as url:
                upgrade(url)
                home = folder / f"home-{number}"
                await tell(clients[story in FRESH_RUNS], url, home, story, registry)


async def tell(client: Client, url: str, home: Path, story: Story, registry: Registry) -> None:
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(platform_on(client, url, home, registry))
        if story not in WITH_WORKER:
            await stack.enter_async_context(worker_on(platform))
        user = await platform.make_user()
        project = await platform.make_project(user)
        harness = await platform.make_harness(project, user)
        session = await platform.make_session(project, harness, user)
        told = await story(Furnished(platform, user, project, harness, session))
        for name, workflow_id in told.items():
            name_of, _, run_id = workflow_id.partition("@")
            handle = client.get_workflow_handle(name_of, run_id=run_id or None)
            history = await handle.fetch_history()
            path = HISTORIES / f"{name}.json"
            path.write_text(written(history))
            print(f"{path.name}: {len(history.events)} events")


def written(history: WorkflowHistory) -> str:
    """The history as a file: nothing of this machine, one event a line."""
    events = [cleaned(event) for event in history.to_json_dict()["events"]]
    lines = [json.dumps(event, sort_keys=True, separators=(",", ":")) for event in events]
    return '{"events":[\n' + ",\n".join(lines) + "\n]}\n"


def cleaned(value: Json) -> Json:
    match value:
        case {"kind": "TASK_QUEUE_KIND_STICKY"}:
            return {"name": "sticky", "kind": "TASK_QUEUE_KIND_STICKY"}
        case dict():
            return {k: cleaned(v) for k, v in value.items() if k not in LEFT_OUT}
        case list():
            return [cleaned(item) for item in value]
        case _:
            return value


if __name__ == "__main__":
    asyncio.run(record())
