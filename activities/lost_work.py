"""Finds what rows say is under way and no workflow may work on, and starts that again.

All that lasts stands in rows, so that the workflows can be made again from them: one by one where a
row was written and its signal was lost, which the sweep looks for, and all of them where Temporal
itself was lost, for `cattery reconcile`. Whatever is started again finds in its rows how far it is.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from temporalio.client import Client
from temporalio.common import TypedSearchAttributes, WorkflowIDConflictPolicy

from cattery.db import purge
from cattery.db.engine import Database
from cattery.db.file_managers import list_unwatched
from cattery.db.sandbox_rows import HarnessFacts, find_harness, list_live_harnesses
from cattery.db.states import HarnessStatus, PromptStatus
from cattery.db.unfinished import (
    SessionPlace,
    UnfinishedPrompt,
    list_unfinished_prompts,
    list_unopened_sessions,
)
from cattery.temporal import messages, naming
from cattery.temporal.client import is_open
from cattery.temporal.messages import (
    FileManagerInput,
    HarnessSandboxInput,
    ProjectRef,
    PromptRef,
    SessionInput,
    SessionRef,
    UserRef,
)
from cattery.temporal.search_attributes import SESSION, belonging_to

LOOKS_AT_ONCE: Final = 16
"""Questions to Temporal under way at a time."""


class Kind(StrEnum):
    """What may be lost."""

    PROMPT = "prompt"
    SESSION = "session"
    SANDBOX = "sandbox"
    DELETION = "deletion"
    FILE_MANAGER = "file manager"


@dataclass(frozen=True, slots=True, kw_only=True)
class LostWork:
    """Something under way, and the workflow that works on it, to be started where none is open.

    `signal` is what that workflow must hear; without one it finds all in its rows. Where
    `tells_open`, one that is open may not know of it either, and hears it too.
    """

    kind: Kind
    workflow: str
    argument: object
    workflow_id: str
    summary: str
    task_queue: str = naming.ORCHESTRATION_QUEUE
    signal: str | None = None
    signal_arguments: Sequence[object] = ()
    tells_open: bool = False
    attributes: TypedSearchAttributes | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long something must have been as it is before it counts as lost."""

    signals: timedelta = timedelta(seconds=10)
    """A queued prompt or a new session that nobody works on."""
    deletions: timedelta = timedelta(seconds=60)
    files: timedelta = timedelta(minutes=5)
    """A file manager without use, after which it must have a workflow that will stop it."""


PATIENT: Final = Patience()
AT_ONCE: Final = Patience(timedelta(0), timedelta(0), timedelta(0))


async def find_lost(
    database: Database, client: Client, patience: Patience = PATIENT
) -> list[LostWork]:
    """Find what fell between a row and its signal. What an open workflow works on is left out.

    Only the head of a session's queue counts: those behind it wait for good reason.
    """
    async with database.read() as rows:
        prompts = await list_unfinished_prompts(rows, older_than=patience.signals)
    found = [_prompt(prompt) for prompt in prompts if prompt.is_head]
    found += await _find_rest(database, patience)
    return await _leave_out_open(client, found)


async def find_everything(
    database: Database, client: Client, *, leaves_out_open: bool = True
) -> list[LostWork]:
    """Find all that must run by the rows and does not: a whole site, where Temporal was lost.

    Sandboxes come first, so that who needs one finds it, and prompts in the order of their turns.
    """
    async with database.read() as rows:
        harnesses = [h for h in await list_live_harnesses(rows) if not h.deleting]
        prompts = await list_unfinished_prompts(rows, older_than=AT_ONCE.signals)
    found = [sandbox_of(harness) for harness in harnesses]
    found += [_prompt(prompt, tells_open=False) for prompt in prompts]
    found += await _find_rest(database, AT_ONCE)
    return await _leave_out_open(client, found) if leaves_out_open else found


async def start_again(client: Client, lost: LostWork) -> None:
    """Start the workflow of something, or tell the one that is open. Safe to repeat."""
    await client.start_workflow(
        lost.workflow,
        lost.argument,
        id=lost.workflow_id,
        task_queue=lost.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal=lost.signal,
        start_signal_args=lost.signal_arguments,
        static_summary=lost.summary,
        search_attributes=lost.attributes,
    )


def sandbox_of(harness: HarnessFacts) -> LostWork:
    """Say how to start the workflow of a sandbox that starts or runs by its row.

    The workflow of one that runs finds it as it is; of one that starts, it starts it.
    """
    is_starting = harness.status is not HarnessStatus.READY
    return LostWork(
        kind=Kind.SANDBOX,
        workflow=messages.HARNESS_SANDBOX,
        argument=HarnessSandboxInput(harness_id=harness.harness_id, project_id=harness.project_id),
        workflow_id=naming.harness_workflow(harness.harness_id),
        summary="sandbox of a harness",
        signal=messages.START_SANDBOX if is_starting else None,
    )


async def _find_rest(database: Database, patience: Patience) -> list[LostWork]:
    async with database.read() as rows:
        sessions = await list_unopened_sessions(rows, older_than=patience.signals)
    return [
        *(_session(place, Kind.SESSION, messages.OPEN_SESSION) for place in sessions),
        *await _find_deletions(database, patience.deletions),
        *await _find_file_managers(database, patience.files),
    ]


async def _find_deletions(database: Database, older_than: timedelta) -> list[LostWork]:
    """Find the deletions that have not ended, outermost objects first."""
    async with database.read() as rows:
        users, projects, harnesses, sessions = await purge.list_unfinished_deletions(
            rows, older_than=older_than
        )
        inputs = [
            HarnessSandboxInput(harness_id=h, project_id=found.project_id)
            for h in harnesses
            if (found := await find_harness(rows, h))
        ]

    def deletion(
        workflow: str,
        argument: object,
        workflow_id: str,
        summary: str,
        attributes: TypedSearchAttributes | None = None,
    ) -> LostWork:
        return LostWork(
            kind=Kind.DELETION,
            workflow=workflow,
            argument=argument,
            workflow_id=workflow_id,
            summary=summary,
            attributes=attributes,
        )

    return [
        *(
            deletion(
                messages.USER_DELETION,
                UserRef(user_id=user),
                naming.user_deletion_workflow(user),
                "delete a user",
            )
            for user in users
        ),
        *(
            deletion(
                messages.PROJECT_TEARDOWN,
                ProjectRef(project_id=project),
                naming.project_teardown_workflow(project),
                "tear a project down",
            )
            for project in projects
        ),
        *(
            deletion(
                messages.HARNESS_DELETION,
                harness,
                naming.harness_deletion_workflow(harness.harness_id),
                "delete a harness",
            )
            for harness in inputs
        ),
        *(
            deletion(
                messages.SESSION_DELETION,
                SessionRef(session_id=session),
                naming.session_deletion_workflow(session),
                "delete a session",
                belonging_to(SESSION, session),
            )
            for session in sessions
        ),
    ]


async def _find_file_managers(database: Database, older_than: timedelta) -> list[LostWork]:
    """Find those that nobody uses: a workflow that looks at them stops them."""
    async with database.read() as rows:
        unwatched = await list_unwatched(rows, older_than=older_than)
    return [
        LostWork(
            kind=Kind.FILE_MANAGER,
            workflow=messages.FILE_MANAGER,
            argument=FileManagerInput(project_id=project_id),
            workflow_id=naming.file_manager_workflow(project_id),
            summary="file manager of a project" if project_id else "skills",
        )
        for project_id in unwatched
    ]


def _prompt(prompt: UnfinishedPrompt, *, tells_open: bool = True) -> LostWork:
    """Say whom to tell of a prompt: one that waits may be unknown to a workflow that is open."""
    return _session(
        prompt.place,
        Kind.PROMPT,
        messages.SUBMIT_PROMPT,
        PromptRef(prompt_id=prompt.prompt_id),
        tells_open=tells_open and prompt.status is PromptStatus.QUEUED,
    )


def _session(
    place: SessionPlace, kind: Kind, signal: str, *arguments: object, tells_open: bool = False
) -> LostWork:
    return LostWork(
        kind=kind,
        workflow=messages.SESSION,
        argument=SessionInput(
            session_id=place.session_id, harness_id=place.harness_id, project_id=place.project_id
        ),
        workflow_id=naming.session_workflow(place.session_id),
        summary="turns of a session",
        task_queue=naming.SESSIONS_QUEUE,
        signal=signal,
        signal_arguments=arguments,
        tells_open=tells_open,
    )


async def _leave_out_open(client: Client, found: Sequence[LostWork]) -> list[LostWork]:
    """Leave out what an open workflow works on."""
    room = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def is_lost(work: LostWork) -> bool:
        if work.tells_open:
            return True
        async with room:
            return not await is_open(client, work.workflow_id)

    answers = await asyncio.gather(*(is_lost(work) for work in found))
    return [work for work, lost in zip(found, answers, strict=True) if lost]
