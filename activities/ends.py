"""Ends what runs, by asking the workflow that it belongs to, and no longer than a while.

Whoever asks again asks for the same: an end that takes longer goes on by itself.
"""

import asyncio
from typing import Final

from temporalio import activity
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from cattery.db.engine import Database
from cattery.db.sandbox_rows import find_harness
from cattery.db.states import HarnessStatus
from cattery.errors import SandboxError
from cattery.ids import SessionId
from cattery.temporal.client import is_open, is_unknown_workflow
from cattery.temporal.messages import (
    CLOSE_SESSION,
    DELETE_SANDBOX,
    HARNESS_SANDBOX,
    STOP_SANDBOX,
    HarnessSandboxInput,
)
from cattery.temporal.naming import ORCHESTRATION_QUEUE, harness_workflow, session_workflow

SESSION_PATIENCE: Final = 60.0
"""Seconds for an agent to stop: its session gives it up after ten of them by itself."""
SANDBOX_PATIENCE: Final = 15.0
"""Seconds for one try to see a sandbox ended; its own workflow goes on with it."""


async def end_session(client: Client, session_id: SessionId) -> None:
    """Have a session's workflow end its turn, and wait until it has completed.

    Raises:
        SandboxError: it takes too long.
    """
    handle = client.get_workflow_handle(session_workflow(session_id))
    try:
        async with asyncio.timeout(SESSION_PATIENCE):
            await handle.signal(CLOSE_SESSION)
            await handle.result()
    except RPCError as error:
        if not is_unknown_workflow(error):
            raise
    except WorkflowFailureError:
        return  # a session that failed runs nothing any more
    except TimeoutError as error:
        raise SandboxError(f"The running turn of session {session_id} does not end.") from error


async def stop_sandbox(client: Client, database: Database, sandbox: HarnessSandboxInput) -> None:
    """Stop a harness's sandbox, in the middle of its start too; nothing where none runs.

    Raises:
        SandboxError: it takes too long; the message says what holds it up.
    """
    async with database.read() as rows:
        harness = await find_harness(rows, sandbox.harness_id)
    if harness is None:
        return
    is_quiet = harness.status not in (HarnessStatus.STARTING, HarnessStatus.READY)
    if is_quiet and not await is_open(client, harness_workflow(sandbox.harness_id)):
        return
    await _ask(client, database, sandbox, STOP_SANDBOX, "stop")


async def end_sandbox(client: Client, database: Database, sandbox: HarnessSandboxInput) -> None:
    """End a harness's sandbox for good, and wait until it is gone.

    Raises:
        SandboxError: it takes too long; the message says what holds it up.
    """
    await _ask(client, database, sandbox, DELETE_SANDBOX, "end")


async def _ask(
    client: Client, database: Database, sandbox: HarnessSandboxInput, update: str, verb: str
) -> None:
    """Ask for an end under one name, so that tries that pile up are one to the workflow.

    The name is that of the deletion's run: to a later deletion an earlier one's stop is no answer.
    """
    asked_by = activity.info().workflow_run_id
    try:
        async with asyncio.timeout(SANDBOX_PATIENCE):
            await client.execute_update_with_start_workflow(
                update,
                id=f"{asked_by}/{update}",
                start_workflow_operation=WithStartWorkflowOperation(
                    HARNESS_SANDBOX,
                    sandbox,
                    id=harness_workflow(sandbox.harness_id),
                    task_queue=ORCHESTRATION_QUEUE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    static_summary="sandbox of a harness",
                ),
            )
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        async with database.read() as rows:
            harness = await find_harness(rows, sandbox.harness_id)
        held = harness.waiting if harness and harness.waiting else "Nobody says yet what holds it."
        raise SandboxError(
            f"The sandbox of harness {sandbox.harness_id} does not {verb}. {held}"
        ) from error
