"""What one worker process hosts: a Temporal worker a task queue, sharing one set of clients."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.worker import Worker

from activities.connections import HarnessConnections
from activities.deletion import DeletionActivities
from activities.deletion_course import DeletionCourseActivities, DeletionPatience
from activities.file_managers import FileManagerActivities, FileManagers
from activities.idle import NEVER, IdleActivities, SleepMeter
from activities.lifecycles import LifecycleActivities
from activities.logs import LogActivities
from activities.sandboxes import SandboxActivities
from activities.sweep import SweepActivities
from activities.turn_run import TurnServices
from activities.turns import TurnActivities
from activities.unknown_frames import UnknownFrames
from cattery.db.engine import Database
from cattery.events.appender import EventAppender
from cattery.harnesses.port import HarnessType
from cattery.sandboxes.port import FileManagerRuntime, SandboxRuntime
from cattery.temporal.naming import (
    FILES_QUEUE,
    HARNESS_WAITS_QUEUE,
    MESSAGES_QUEUE,
    ORCHESTRATION_QUEUE,
    PROJECT_WAITS_QUEUE,
    SANDBOX_QUEUE,
    SANDBOX_WAITS_QUEUE,
    SESSIONS_QUEUE,
)
from workers.observer import observing
from workers.peers import watching_peers
from workers.settings import WorkerSettings
from workers.sweep_metrics import showing_sweeps
from workflows.deletion import (
    HarnessDeletionWorkflow,
    ProjectTeardownWorkflow,
    SessionDeletionWorkflow,
    UserDeletionWorkflow,
)
from workflows.file_manager import FileManagerWorkflow
from workflows.harness_sandbox import HarnessSandboxWorkflow
from workflows.log_capture import LogCaptureWorkflow
from workflows.session import SessionWorkflow
from workflows.sweep import SweepWorkflow

ORCHESTRATION_WORKFLOWS: Sequence[type] = (
    HarnessSandboxWorkflow,
    SessionDeletionWorkflow,
    HarnessDeletionWorkflow,
    ProjectTeardownWorkflow,
    UserDeletionWorkflow,
    SweepWorkflow,
    FileManagerWorkflow,
    LogCaptureWorkflow,
)
ALL_WORKFLOWS: Sequence[type] = (*ORCHESTRATION_WORKFLOWS, SessionWorkflow)
"""Every workflow, for the replay of recorded histories too."""

type Activity = Callable[..., Any]

HEARTBEAT_THROTTLE = timedelta(seconds=4)
"""A cancellation reaches an activity with the answer to a heartbeat: so often at least."""


HANDOFF_SECONDS = 1.5
"""Of a shutdown's grace, for the hand-over itself: to flush, to end the attempt and to close."""


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What the activities of one process work with.

    `files` makes file managers where files are not simply there: on a cluster.
    """

    client: Client
    database: Database
    runtime: SandboxRuntime
    registry: Mapping[str, HarnessType]
    gateway_url: str
    files: FileManagerRuntime | None = None
    file_manager_idle: timedelta = timedelta(minutes=10)
    idle_timeout: timedelta = NEVER
    deletion_patience: DeletionPatience = field(default_factory=DeletionPatience)


@asynccontextmanager
async def running_workers(parts: WorkerParts, settings: WorkerSettings) -> AsyncIterator[None]:
    """Host every queue while the body runs; leaving hands running turns over and stops."""
    appender = EventAppender(parts.database.url, writers=settings.writers)
    connections = HarnessConnections(parts.registry)
    async with AsyncExitStack() as stack:
        await appender.start()
        stack.push_async_callback(appender.close)
        stack.push_async_callback(connections.close)
        services = TurnServices(
            database=parts.database,
            appender=appender,
            connections=connections,
            runtime=parts.runtime,
            registry=parts.registry,
            owner=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}",
            unknown=UnknownFrames(runtime_of(parts.client).metric_meter),
            handoff_patience=max(0.0, settings.graceful_shutdown.total_seconds() - HANDOFF_SECONDS),
        )
        workers = create_workers(parts, services, settings)
        await stack.enter_async_context(observing(parts.database, parts.runtime, parts.client))
        meter = runtime_of(parts.client).metric_meter
        await stack.enter_async_context(showing_sweeps(parts.database, meter))
        await stack.enter_async_context(
            watching_peers(parts.client, parts.database, services.owner, services.stopping)
        )
        running = [asyncio.create_task(worker.run()) for worker in workers]
        try:
            yield
        finally:
            await asyncio.gather(*(worker.shutdown() for worker in workers))
            await asyncio.gather(*running)


def create_workers(
    parts: WorkerParts, services: TurnServices, settings: WorkerSettings
) -> list[Worker]:
    """Make the worker of each queue; none polls before it is run."""
    turns = TurnActivities(services)
    files = None if parts.files is None else FileManagers(parts.client, parts.database)
    meter = SleepMeter(runtime_of(parts.client).metric_meter)
    sandboxes = SandboxActivities(
        parts.database, parts.runtime, parts.registry, parts.gateway_url, files, meter
    )
    idle = IdleActivities(parts.database, timeout=parts.idle_timeout, meter=meter)
    deletion = DeletionActivities(parts.database, parts.runtime, files, services.connections)
    course = DeletionCourseActivities(
        parts.database, parts.runtime, parts.client, parts.deletion_patience
    )
    lifecycles = LifecycleActivities(parts.client, parts.database)
    sweep = SweepActivities(
        parts.database,
        parts.runtime,
        parts.client,
        idle_timeout=parts.idle_timeout,
        fold_after=settings.fold_after,
        is_dry_run=settings.sweep_dry_run,
    )
    return [
        Worker(
            parts.client,
            identity=services.owner,
            task_queue=SESSIONS_QUEUE,
            workflows=[SessionWorkflow],
            activities=[
                turns.open_session,
                turns.fail_session,
                turns.run_turn,
                turns.end_turn,
                turns.abort_turn,
                turns.answer_question,
                turns.find_title,
            ],
            max_concurrent_activities=settings.turns,
            max_cached_workflows=settings.cached_workflows,
            max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            graceful_shutdown_timeout=settings.graceful_shutdown,
        ),
        Worker(
            parts.client,
            task_queue=ORCHESTRATION_QUEUE,
            workflows=list(ORCHESTRATION_WORKFLOWS),
            activities=[
                sandboxes.load,
                idle.claim,
                deletion.purge_session,
                deletion.purge_harness,
                deletion.list_sessions,
                deletion.list_harnesses,
                deletion.delete_workspace,
                deletion.purge_project,
                deletion.list_projects,
                deletion.purge_user,
                course.load,
                course.commit,
                course.undo,
                course.note_step,
                course.note_hitch,
                course.clear_hitch,
                course.note_force,
                course.hand_over,
                course.close_sessions,
                course.page_of_harnesses,
                course.page_of_projects,
                course.require_nothing_left,
                course.purge,
                lifecycles.end_sandbox,
                lifecycles.ensure_sandbox,
                lifecycles.delete_sandbox,
                lifecycles.close_session,
                lifecycles.delete_harness,
                lifecycles.tear_down_project,
                sweep.run,
            ],
            max_concurrent_activities=settings.turns,
            max_cached_workflows=settings.cached_workflows,
            max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            graceful_shutdown_timeout=settings.graceful_shutdown,
        ),
        Worker(
            parts.client,
            task_queue=SANDBOX_QUEUE,
            activities=[
                sandboxes.provision,
                sandboxes.is_running,
                sandboxes.inspect,
                sandboxes.note_recovery,
                sandboxes.stop,
                sandboxes.fail,
                sandboxes.remove,
            ],
            max_concurrent_activities=settings.sandboxes or _default_sandboxes(parts),
            max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            graceful_shutdown_timeout=settings.graceful_shutdown,
        ),
        *_create_activity_workers(
            parts.client,
            settings,
            {
                **_list_file_activities(parts),
                MESSAGES_QUEUE: [
                    turns.fail_session,
                    turns.end_turn,
                    turns.abort_turn,
                    turns.answer_question,
                ],
                SANDBOX_WAITS_QUEUE: [lifecycles.ensure_sandbox],
                HARNESS_WAITS_QUEUE: [lifecycles.delete_harness, course.drain],
                PROJECT_WAITS_QUEUE: [lifecycles.tear_down_project],
            },
        ),
    ]


def _create_activity_workers(
    client: Client, settings: WorkerSettings, queues: Mapping[str, Sequence[Activity]]
) -> list[Worker]:
    """Make a worker for each queue whose activities mostly wait."""
    return [
        Worker(
            client,
            task_queue=queue,
            activities=activities,
            max_concurrent_activities=settings.waits,
            max_concurrent_activity_task_polls=2,
            max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            graceful_shutdown_timeout=settings.graceful_shutdown,
        )
        for queue, activities in queues.items()
    ]


def runtime_of(client: Client) -> Runtime:
    """Return what the client's metrics go to, ours among them."""
    return client.service_client.config.runtime or Runtime.default()


def _default_sandboxes(parts: WorkerParts) -> int:
    """Return how many sandboxes are started or ended at once where nobody says it.

    A start on this machine is work for its processors; on a cluster it is all waiting, and starts
    that wait for room must not keep others from ending.
    """
    return 16 if parts.files is None else 100


def _list_file_activities(parts: WorkerParts) -> dict[str, Sequence[Activity]]:
    """Return what the HTTP process cannot do itself on a cluster; nothing elsewhere."""
    if parts.files is None:
        return {}
    managers = FileManagerActivities(parts.database, parts.files, idle=parts.file_manager_idle)
    logs = LogActivities(parts.database, parts.runtime)
    return {
        FILES_QUEUE: [
            managers.load,
            managers.ensure,
            managers.is_idle,
            managers.stop,
            managers.fail,
            logs.capture,
        ]
    }
