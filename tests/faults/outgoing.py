"""Every call that leaves a worker process, as it sees it: named, counted, cut at one of them.

The edges are hooked in the process itself, each at its lowest place in Python:

- HTTP (Kubernetes, harnesses, file managers): `aiohttp.ClientSession._request`;
- PostgreSQL: every statement and every commit of psycopg, which SQLAlchemy and the appender share;
- Temporal: RPCs of the client, and of the worker every task that is taken (its poll was answered)
  and every task that is completed. What the SDK's core sends by itself, heartbeats and polls that
  bring nothing, changes nothing that a cut could leave half done, and is not seen;
- files and processes of the local runtime: Python's audit events, and signals.

A call counts once its answer is there: a process that dies then knows nothing of it, which is the
same to all others as one that dies while it waits for the answer. Audit events come before what
they tell of, and are named so. Dying before a call is dying after the one before it.
"""

import asyncio
import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any, Final

import aiohttp
import psycopg
from temporalio import activity
from temporalio.bridge import worker as core
from temporalio.service import ServiceClient, _BridgeServiceClient

type _Calling = Callable[..., Awaitable[Any]]

BACKGROUND: Final = frozenset({"event-writer", "sandbox-observer-dealing"})
"""Tasks of a worker that do what activities or the runtime asked for, on their own."""
LOOKED_AT: Final = "lock"
"""A file that is opened to write only to see whether somebody holds it."""
ENDLESS: Final = "follow-"
"""How tasks are named that mirror the cluster, for the whole process: whoever starts them."""
ALWAYS_OPEN: Final = "watch=1"
"""Of a request that only ends with the process."""

_FILES: Final = {
    "os.mkdir": "mkdir",
    "os.rename": "rename",
    "os.remove": "remove",
    "os.rmdir": "rmdir",
    "os.link": "link",
    "os.symlink": "symlink",
    "os.truncate": "truncate",
    "subprocess.Popen": "start process",
    "os.kill": "kill",
}
_ID: Final = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|ses_\w+|(?<=-)[0-9a-f]{8}\b"
)
_CHANGED: Final = re.compile(r"\b(?:INTO|UPDATE|DELETE FROM)\s+(\w+)", re.IGNORECASE)
_TABLE: Final = re.compile(r"\bFROM\s+(\w+)", re.IGNORECASE)
_CALLED: Final = re.compile(r"SELECT\s+(\w+)\(", re.IGNORECASE)
_NAMESPACE: Final = re.compile(r"/namespaces/[^/]+")
_CHANGES: Final = re.compile(r"\b(?:INSERT|UPDATE|DELETE|NOTIFY)\b", re.IGNORECASE)


class Outgoing:
    """The calls of this process for some objects. Nothing is counted before it is armed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._log: int | None = None
        self._cut: str | None = None
        self._marks: tuple[str, ...] = ()
        self._who: str | None = None
        self._seen: Counter[str] = Counter()

    def arm(
        self, log: str, marks: Collection[str], cut: str | None, *, who: str | None = None
    ) -> None:
        """Begin to count.

        Args:
            log: a file that gets a line for each call: `effect` or `look`, and its name.
            marks: ids of the objects whose calls count.
            cut: the name of the call after which this process dies.
            who: does all that this process does, where it is no worker.
        """
        with self._lock:
            self._who = who
            self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._marks, self._cut = tuple(marks), cut
            self._seen.clear()

    def passed(self, name: str, *, effect: bool) -> None:
        """Count a call that is over, and die here where it is the one."""
        with self._lock:
            if self._log is None:
                return
            self._seen[name] += 1
            label = f"{name}#{self._seen[name]}"
            os.write(self._log, f"{'effect' if effect else 'look'} {label}\n".encode())
            if label == self._cut:
                self._log = None  # the kill is a call too
                os.kill(os.getpid(), signal.SIGKILL)

    def is_ours(self, workflow_id: str | None) -> bool:
        """Tell whether a workflow is of the objects that count."""
        return any(mark in (workflow_id or "") for mark in self._marks)

    def doing(self) -> str | None:
        """Say on whose behalf the present code runs; `None`: a call here does not count."""
        if self._log is None or self._who is not None:
            return self._who if self._log is not None else None
        task = _name_of_task()
        if task.startswith(ENDLESS):
            return None
        if activity.in_activity():
            info = activity.info()
            return info.activity_type if self.is_ours(info.workflow_id) else None
        return task if self._marks and task in BACKGROUND else None


def watch_outgoing(calls: Outgoing) -> None:
    """Hook every edge of this process, for good."""
    _watch_http(calls)
    _watch_database(calls)
    _watch_temporal_client(calls)
    _watch_temporal_worker(calls)
    watch_files(calls)


def watch_files(calls: Outgoing) -> None:
    """Hook what changes files or processes of this machine."""

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        what = _FILES.get(event)
        if what is None:
            if event != "open" or not _is_writing(arguments):
                return
            what = "open to write"
        if who := calls.doing():
            name = _name_argument(arguments)
            effect = not (name.endswith(LOOKED_AT) or (what == "mkdir" and _exists(arguments)))
            calls.passed(f"{who}: before {what}{name}", effect=effect)

    send = signal.pidfd_send_signal

    def send_signal(*arguments: Any) -> None:
        send(*arguments)
        if who := calls.doing():
            calls.passed(f"{who}: signal", effect=True)

    signal.pidfd_send_signal = send_signal
    sys.addaudithook(hear)


def _watch_http(calls: Outgoing) -> None:
    send: _Calling = aiohttp.ClientSession._request

    async def request(self: aiohttp.ClientSession, method: str, url: Any, **options: Any) -> Any:
        who = calls.doing()
        try:
            return await send(self, method, url, **options)
        finally:
            text = str(url)
            if who and ALWAYS_OPEN not in text and not _is_cancelled():
                path = text.partition("://")[2].partition("/")[2].partition("?")[0]
                path = _ID.sub("*", _NAMESPACE.sub("", path))
                effect = method.upper() not in ("GET", "HEAD")
                calls.passed(f"{who}: {method.upper()} /{path}", effect=effect)

    aiohttp.ClientSession._request = request  # type: ignore[method-assign, assignment]


def _watch_database(calls: Outgoing) -> None:
    run: _Calling = psycopg.AsyncCursor.execute
    commit: _Calling = psycopg.AsyncConnection.commit
    leave: _Calling = psycopg.AsyncTransaction.__aexit__

    async def execute(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        who = calls.doing()
        result = await run(self, query, *arguments, **options)
        text = query.decode() if isinstance(query, bytes) else str(query)
        if who and text.strip(" ;"):
            is_over = self.connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
            effect = is_over and _CHANGES.search(text) is not None
            calls.passed(f"{who}: {_name_statement(text)}", effect=effect)
        return result

    async def end(self: Any) -> None:
        who = calls.doing()
        is_open = self.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE
        await commit(self)
        if who and is_open:
            calls.passed(f"{who}: COMMIT", effect=True)

    async def end_block(self: Any, *error: Any) -> Any:
        who = calls.doing()
        result = await leave(self, *error)
        if who and error[0] is None:
            calls.passed(f"{who}: COMMIT", effect=True)
        return result

    psycopg.AsyncCursor.execute = execute  # type: ignore[method-assign]
    psycopg.AsyncTransaction.__aexit__ = end_block  # type: ignore[method-assign, assignment]
    psycopg.AsyncConnection.commit = end  # type: ignore[method-assign]


def _watch_temporal_client(calls: Outgoing) -> None:
    send: _Calling = _BridgeServiceClient._rpc_call

    async def call(self: ServiceClient, rpc: str, **options: Any) -> Any:
        who = calls.doing()
        try:
            return await send(self, rpc, **options)
        finally:
            if who and not _is_cancelled():
                effect = not rpc.startswith(("describe", "get", "list", "poll"))
                calls.passed(f"{who}: temporal {rpc}", effect=effect)

    _BridgeServiceClient._rpc_call = call  # type: ignore[method-assign, assignment]


def _watch_temporal_worker(calls: Outgoing) -> None:
    """Hook the tasks of a worker, where they pass between Python and the SDK's core."""
    workflows: dict[str, tuple[str, str]] = {}
    """Type and id of each run that this process has."""
    evicted: set[str] = set()
    activities: dict[bytes, str] = {}
    poll_workflow: _Calling = core.Worker.poll_workflow_activation
    poll_activity: _Calling = core.Worker.poll_activity_task
    complete_workflow: _Calling = core.Worker.complete_workflow_activation
    complete_activity: _Calling = core.Worker.complete_activity_task

    async def take_workflow_task(self: core.Worker) -> Any:
        task = await poll_workflow(self)
        kinds = {job.WhichOneof("variant") for job in task.jobs}
        for job in task.jobs:
            if job.WhichOneof("variant") == "initialize_workflow":
                begun = job.initialize_workflow
                workflows[task.run_id] = (begun.workflow_type, begun.workflow_id)
        if kinds == {"remove_from_cache"}:
            evicted.add(task.run_id)
            return task
        kind, workflow_id = workflows.get(task.run_id, ("", ""))
        if calls.is_ours(workflow_id):
            calls.passed(f"{kind}: workflow task taken", effect=True)
        return task

    async def complete_task(self: core.Worker, done: Any) -> None:
        await complete_workflow(self, done)
        kind, workflow_id = workflows.get(done.run_id, ("", ""))
        if done.run_id in evicted:
            evicted.discard(done.run_id)
        elif calls.is_ours(workflow_id):
            calls.passed(f"{kind}: workflow task completed{_name_commands(done)}", effect=True)

    async def take_activity(self: core.Worker) -> Any:
        task = await poll_activity(self)
        if task.WhichOneof("variant") == "start" and calls.is_ours(
            task.start.workflow_execution.workflow_id
        ):
            activities[task.task_token] = task.start.activity_type
            calls.passed(f"{task.start.activity_type}: taken", effect=True)
        return task

    async def complete_taken(self: core.Worker, done: Any) -> None:
        await complete_activity(self, done)
        kind = activities.pop(done.task_token, None)
        if kind is not None:
            calls.passed(f"{kind}: completed", effect=True)

    core.Worker.poll_workflow_activation = take_workflow_task  # type: ignore[method-assign]
    core.Worker.complete_workflow_activation = complete_task  # type: ignore[method-assign, assignment]
    core.Worker.poll_activity_task = take_activity  # type: ignore[method-assign]
    core.Worker.complete_activity_task = complete_taken  # type: ignore[method-assign, assignment]


def _name_of_task() -> str:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # a thread
        return ""
    return task.get_name() if task else ""


def _is_writing(arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _exists(arguments: tuple[Any, ...]) -> bool:
    path, _, folder = arguments
    return folder == -1 and Path(path).exists()


def _name_argument(arguments: tuple[Any, ...]) -> str:
    given = arguments[0]
    if not isinstance(given, str | bytes | os.PathLike):
        return ""
    name = Path(os.fsdecode(given)).name
    return " " + re.sub(r"\d+", "N", _ID.sub("*", name)).replace(" ", "_")


def _name_statement(text: str) -> str:
    verb = text.split(None, 1)[0].upper()
    named = _CHANGED.search(text) or _TABLE.search(text) or _CALLED.search(text)
    return f"{verb} {named[1]}" if named else verb


def _name_commands(done: Any) -> str:
    if done.WhichOneof("status") != "successful":
        return " (failed)"
    names = {
        command.schedule_activity.activity_type
        or command.schedule_local_activity.activity_type
        or str(command.WhichOneof("variant"))
        for command in done.successful.commands
    }
    names -= {"upsert_workflow_search_attributes", "set_patch_marker", "modify_workflow_properties"}
    return f" ({', '.join(sorted(names))})" if names else ""


def _is_cancelled() -> bool:
    """Whether the present call ends because it was given up, at a moment that means nothing."""
    return isinstance(sys.exc_info()[1], asyncio.CancelledError)
