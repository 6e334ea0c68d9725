"""Brings one sandbox up: adopts, replaces or starts it, and waits until its harness answers."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

import structlog

from cattery.clock import utc_now
from cattery.errors import SandboxError, SandboxSetupError
from cattery.harnesses.port import HarnessEndpoint, HarnessType
from cattery.harnesses.registry import require_runnable
from cattery.ids import HarnessId
from cattery.sandboxes.asking import Asking
from cattery.sandboxes.local.confinement import write_identity
from cattery.sandboxes.local.layout import Layout, make_private
from cattery.sandboxes.local.plan import Planner, digest_spec
from cattery.sandboxes.local.ports import choose_port, tells_of_taken_port
from cattery.sandboxes.local.sandbox import LocalSandbox
from cattery.sandboxes.names import name_sandbox
from cattery.sandboxes.needs import require_needs
from cattery.sandboxes.port import (
    Observation,
    Report,
    SandboxSpec,
    SandboxState,
    Step,
    StepName,
)
from cattery.sandboxes.supervisor.record import (
    Ending,
    RecordState,
    SandboxRecord,
    write_ticket,
)
from cattery.settings import SandboxSettings

_log = structlog.get_logger(__name__)

LOG_LINES = 50
"""Of a harness that failed, in the error."""
_PAUSE = 0.05
_PORT_TRIES = 4
_RECORD_SECONDS = 5.0


class _PortTakenError(Exception):
    """Somebody else listens on the port that was chosen; another one may be free."""


class Starter:
    """Brings sandboxes up. The caller makes sure that it does so once at a time for each."""

    def __init__(
        self,
        layout: Layout,
        settings: SandboxSettings,
        registry: Mapping[str, HarnessType],
        planner: Planner,
    ) -> None:
        self._layout = layout
        self._settings = settings
        self._registry = registry
        self._planner = planner
        self._ports: set[int] = set()
        """Those of starts under way in this process."""

    async def start(self, spec: SandboxSpec, report: Report) -> Observation:
        """Do what `SandboxRuntime.ensure_running` promises.

        Raises:
            SandboxError: it could not be started, or did not answer in time.
            SandboxSetupError: it cannot start at all as things stand.
        """
        harness = require_runnable(self._registry, spec.harness_type)
        self._require_installed(harness)
        require_needs(harness, spec, self._settings.memory_bytes)
        sandbox = LocalSandbox(self._layout.sandbox(spec.harness_id))
        async with _reported(report, StepName.WORKSPACE):
            await asyncio.to_thread(self._make_folders, spec, sandbox)
        deadline = asyncio.get_running_loop().time() + self._settings.start_timeout.total_seconds()
        for _ in range(_PORT_TRIES):
            async with _reported(report, StepName.STARTED):
                record = await self._adopt(spec, sandbox) or await self._launch(
                    spec, sandbox, harness
                )
            try:
                async with _reported(report, StepName.ANSWERING):
                    return await self._wait_for_answer(record, sandbox, harness, deadline)
            except _PortTakenError:
                _log.info("sandbox_port_was_taken", sandbox=record.name, port=record.port)
        raise SandboxError(
            f"{harness.display_name} found its port taken {_PORT_TRIES} times. Try again."
        )

    def _require_installed(self, harness: HarnessType) -> None:
        if harness.program is None or (self._layout.tools / harness.program).exists():
            return
        raise SandboxSetupError(
            f"{harness.display_name} is not installed in {self._layout.tools}. Run `make install` "
            "on the machine of this site, then start the sandbox again."
        )

    def _make_folders(self, spec: SandboxSpec, sandbox: LocalSandbox) -> None:
        make_private(
            self._layout.workspace(spec.project_id), self._layout.skills, self._layout.tools
        )
        sandbox.prepare()
        write_identity(sandbox.folder / "etc")

    async def _adopt(self, spec: SandboxSpec, sandbox: LocalSandbox) -> SandboxRecord | None:
        """Return the record of the sandbox where just this one runs; end any other.

        One of the same generation that was asked for otherwise is another one.
        """
        look = sandbox.look()
        record = look.record
        if record is not None and record.generation > spec.generation:
            raise SandboxSetupError(
                f"Sandbox {record.name} is at generation {record.generation} already; "
                f"generation {spec.generation} is out of date."
            )
        if look.alive and record is not None and record.digest == digest_spec(spec):
            _log.info("sandbox_adopted", sandbox=record.name, generation=record.generation)
            return record
        if look.supervised:
            await asyncio.to_thread(sandbox.end)
        return None

    async def _launch(
        self, spec: SandboxSpec, sandbox: LocalSandbox, harness: HarnessType
    ) -> SandboxRecord:
        port = choose_port(self._ports)
        self._ports.add(port)
        try:
            job = self._planner.plan(spec, harness, port=port)
            earlier = sandbox.look().record
            write_ticket(sandbox.folder, job.ticket)  # here, not in the thread, which may come late
            won = await asyncio.to_thread(sandbox.launch, job)
            if won:
                _log.info("sandbox_started", sandbox=job.name, generation=job.generation)
            return await self._find_record(spec, sandbox, earlier)
        finally:
            self._ports.discard(port)

    async def _find_record(
        self, spec: SandboxSpec, sandbox: LocalSandbox, earlier: SandboxRecord | None
    ) -> SandboxRecord:
        """Return the record of what was just started, perhaps by somebody else meanwhile.

        That of an earlier life of the same generation, which has ended, may still lie there.
        """
        deadline = asyncio.get_running_loop().time() + _RECORD_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            record = sandbox.look().record
            is_old = record == earlier and record is not None and record.state is RecordState.ENDED
            if record is not None and record.digest == digest_spec(spec) and not is_old:
                return record
            await asyncio.sleep(_PAUSE)
        name = name_sandbox(spec.harness_type, spec.harness_id)
        raise SandboxError(f"Sandbox {name} is being started otherwise. Try again in a moment.")

    async def _wait_for_answer(
        self, record: SandboxRecord, sandbox: LocalSandbox, harness: HarnessType, deadline: float
    ) -> Observation:
        endpoint = endpoint_of(record, self._settings)
        client = harness.client(endpoint)
        try:
            async with Asking(client.check_health) as program:
                while not await program.answers():
                    self._check_alive(record, sandbox, harness)
                    if asyncio.get_running_loop().time() > deadline:
                        raise await self._give_up(sandbox, harness, program.error)
        finally:
            await client.close()
        self._check_alive(record, sandbox, harness)
        sandbox.mark_answered(record)
        return running(record, self._settings)

    def _check_alive(
        self, record: SandboxRecord, sandbox: LocalSandbox, harness: HarnessType
    ) -> None:
        look = sandbox.look()
        now = look.record
        if now is None or now.supervisor_pid != record.supervisor_pid:
            raise SandboxError(f"Sandbox {record.name} was replaced or removed while it started.")
        if look.alive:
            return
        if now.ending is Ending.STOPPED:
            raise SandboxError(f"Sandbox {record.name} was stopped while it started.")
        tail = sandbox.tail(LOG_LINES)
        if tells_of_taken_port(tail):
            raise _PortTakenError
        reason = now.reason or "The harness's supervisor was killed."
        raise SandboxError(_with_log(f"{harness.display_name} did not start. {reason}", tail))

    async def _give_up(
        self, sandbox: LocalSandbox, harness: HarnessType, error: Exception | None
    ) -> SandboxError:
        seconds = self._settings.start_timeout.total_seconds()
        reason = f"{harness.display_name} did not answer within {seconds:.0f} seconds."
        if error is not None:
            reason += f" {error}"
        await asyncio.to_thread(sandbox.end, Ending.FAILED, reason)
        return SandboxError(_with_log(reason, sandbox.tail(LOG_LINES)))


def running(record: SandboxRecord, settings: SandboxSettings) -> Observation:
    """Return the observation of a sandbox that answers."""
    return Observation(
        harness_id=HarnessId(UUID(record.harness_id)),
        generation=record.generation,
        state=SandboxState.RUNNING,
        name=record.name,
        endpoint=endpoint_of(record, settings),
    )


def endpoint_of(record: SandboxRecord, settings: SandboxSettings) -> HarnessEndpoint:
    """Return where a sandbox's harness listens."""
    return HarnessEndpoint(f"http://{settings.local_host}:{record.port}", record.password)


def _with_log(reason: str, tail: str) -> str:
    return (
        f"{reason}\nThe last lines of its log:\n{tail}" if tail else f"{reason} Its log is empty."
    )


@asynccontextmanager
async def _reported(report: Report, name: StepName) -> AsyncIterator[None]:
    started_at = utc_now()
    await report(Step(name, started_at))
    yield
    await report(Step(name, started_at, utc_now()))
