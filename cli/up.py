"""`cattery up`: everything that Cattery needs, on one machine, in one foreground process.

The story: check, take the lock, end what a killed predecessor left, start the stores, migrate,
start our own processes, say where to go; then wait, and stop all in order.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from functools import partial
from importlib.metadata import version

from pydantic import SecretStr

from cattery.settings import (
    ApiSettings,
    GatewaySettings,
    HomeSettings,
    SandboxSettings,
    TemporalSettings,
)
from cli.configuration import UpSettings, read_home, read_jwt_secret, read_settings
from cli.console import Console
from cli.embedded_postgres import EmbeddedPostgres
from cli.embedded_temporal import temporal_part
from cli.environment import server_environment
from cli.errors import CommandError
from cli.harness_checks import require_harnesses
from cli.home import Home
from cli.parts import Wiring, api_part, gateway_part, worker_part
from cli.ports import choose_ports
from cli.preflight import require_node, require_port
from cli.probes import postgres_failure
from cli.running import RunRecord, UpLock, end_leftovers
from cli.supervisor import Part, Supervisor
from workers.settings import WorkerSettings

_STOPPED_WITHIN = 13.0
"""Seconds for the whole stop; what must be killed after that fits under the 15 that we promise."""
_SERVICES_WITHIN, _SANDBOXES_WITHIN, _STORES_WITHIN = 6.0, 4.0, 3.0
"""Seconds that one step may take of it."""


def run_up() -> None:
    """Run everything until a signal comes.

    Raises:
        CommandError: something is missing or a part cannot be started; nothing is left running.
    """
    settings = read_settings(UpSettings)
    home, home_settings = read_home()
    home.prepare()
    lock = UpLock(home)
    lock.acquire()
    try:
        for missing in require_harnesses(home_settings):
            Console().say(missing, tone="warning")
        require_node()
        asyncio.run(_Up(settings, home, home_settings).run())
    finally:
        lock.release()


class _Up:
    """One run of `cattery up`."""

    def __init__(self, settings: UpSettings, home: Home, home_settings: HomeSettings) -> None:
        self._settings = settings
        self._home = home
        self._home_settings = home_settings
        self._sandbox_settings = read_settings(SandboxSettings)
        self._demo_model = read_settings(GatewaySettings).is_demo
        # To say now what one of the processes would die of.
        secret = SecretStr(read_jwt_secret(home, os.environ))
        read_settings(partial(ApiSettings, jwt_secret=secret))
        read_settings(WorkerSettings)
        self._console = Console()
        self._record = RunRecord.new(settings.url)
        self._supervisor = Supervisor(home, self._console, self._record)
        self._stop = asyncio.Event()
        self._environ = dict(os.environ)
        self._admin_password: str | None = None

    async def run(self) -> None:
        self._listen_to_signals()
        began = time.monotonic()
        try:
            started = await self._unless_stopped(self._start())
            if started:
                await self._summarise(time.monotonic() - began)
                await self._stop.wait()
        finally:
            await self._shut_down()

    async def _start(self) -> None:
        self._console.say(
            f"Cattery {version('cattery')}, data in {self._home.folder}", tone="strong"
        )
        for name in await asyncio.to_thread(end_leftovers, self._home):
            self._console.row(name, "was left by an earlier start; ended it", tone="warning")
        require_port(self._settings)
        loading = asyncio.create_task(asyncio.to_thread(_load_clients))
        wiring = await self._start_stores()
        await loading
        self._record.temporal_ui_url = wiring.temporal_ui_url
        temporal = TemporalSettings(
            address=wiring.temporal_address, namespace=self._settings.temporal_namespace
        )
        async with _one_failure(), asyncio.TaskGroup() as group:
            group.create_task(self._migrate(wiring.database_url))
            group.create_task(self._set_temporal_up(temporal))
        workers = range(1, self._settings.workers + 1)
        async with _one_failure(), asyncio.TaskGroup() as group:
            for part in (
                gateway_part(wiring, self._environ),
                api_part(wiring, self._environ),
                *(worker_part(wiring, self._environ, number) for number in workers),
            ):
                group.create_task(self._start_part(part))
        self._record.ready = True
        self._record.save(self._home)

    async def _start_stores(self) -> Wiring:
        """Start the database and Temporal, or check the external ones; wire the rest to them."""
        names = ["gateway"]
        names += [] if self._settings.database_url else ["postgres"]
        names += [] if self._settings.temporal_address else ["temporal", "temporal-ui"]
        ports, moved = choose_ports(self._home, names)
        if "gateway" in moved:  # running sandboxes would talk to the old port
            await self._stop_sandboxes()
        async with _one_failure(), asyncio.TaskGroup() as group:
            database = group.create_task(self._provide_database(ports))
            temporal = group.create_task(self._provide_temporal(ports))
        address, ui_url = temporal.result()
        return Wiring(
            home=self._home,
            settings=self._settings,
            tools=self._home_settings.tools_folder.absolute(),
            database_url=database.result(),
            temporal_address=address,
            temporal_ui_url=ui_url,
            gateway_port=ports["gateway"],
            demo_model=self._demo_model,
        )

    async def _provide_database(self, ports: dict[str, int]) -> str:
        if self._settings.database_url is not None:
            url = self._settings.database_url.get_secret_value()
            await _require_database(url)
            self._console.row("postgres", "external (DATABASE_URL)")
            return url
        postgres = EmbeddedPostgres(self._home, ports["postgres"])
        env = server_environment(self._environ)
        await postgres.initialise(env)
        await self._start_part(postgres.part(env))
        await postgres.create_database()
        return postgres.url

    async def _provide_temporal(self, ports: dict[str, int]) -> tuple[str, str | None]:
        if self._settings.temporal_address is not None:
            self._console.row("temporal", "external (TEMPORAL_ADDRESS)")
            return self._settings.temporal_address, self._settings.temporal_ui_url
        port, ui_port = ports["temporal"], ports["temporal-ui"]
        env = server_environment(self._environ)
        part = temporal_part(self._home, port, ui_port, self._settings.temporal_namespace, env)
        await self._start_part(part)
        return f"127.0.0.1:{port}", f"http://127.0.0.1:{ui_port}"

    async def _start_part(self, part: Part) -> None:
        seconds = await self._supervisor.start(part)
        where = f"   port {part.port}" if part.port else ""
        self._console.row(part.name, f"ready in {seconds:.1f} s{where}")

    async def _migrate(self, url: str) -> None:
        began = time.monotonic()
        self._admin_password = await asyncio.to_thread(_bring_up_to_date, url)
        self._console.row("migrations", f"done in {time.monotonic() - began:.1f} s")

    async def _set_temporal_up(self, settings: TemporalSettings) -> None:
        from cli.temporal_server import register_search_attributes
        from cli.temporal_setup import keep_histories

        await register_search_attributes(settings)
        if self._settings.temporal_address is None:
            await keep_histories(settings)

    async def _stop_sandboxes(self) -> None:
        from cli.sandboxes import stop_sandboxes

        for failure in await stop_sandboxes(self._home_settings, self._sandbox_settings):
            self._console.row("sandboxes", failure, tone="warning")

    async def _summarise(self, seconds: float) -> None:
        say, row = self._console.say, self._console.row
        say()
        say(f"Cattery is ready after {seconds:.1f} s.", tone="good")
        row("Open", self._settings.url, tone="strong")
        if self._record.temporal_ui_url:
            row("Temporal UI", self._record.temporal_ui_url)
        if self._admin_password:
            row("Sign in", f"admin   password: {self._admin_password}", tone="strong")
            row("", "Shown this once. Lost it? cattery admin reset-password")
        if self._demo_model:
            row("Model", "the built-in demo model answers, no real one is set", tone="warning")
            row("", "Set ANTHROPIC_API_KEY or OPENAI_API_KEY (or a ..._BASE_URL), start again.")
        from cli.sandboxes import describe_isolation

        isolation = await describe_isolation(self._home_settings, self._sandbox_settings)
        row("Sandboxes", isolation.summary, tone="plain" if isolation.confined else "warning")
        if self._settings.web_dist is None:
            row("Web UI", "is not built, only the API is served. Run: make web", tone="warning")
        say("Ctrl-C stops everything.", tone="faint")

    async def _shut_down(self) -> None:
        began = time.monotonic()
        if self._record.parts:
            self._console.say("Stopping.")

        def within(step: float) -> float:
            return max(0.5, min(step, began + _STOPPED_WITHIN - time.monotonic()))

        workers = [f"worker-{n}" for n in range(1, self._settings.workers + 1)]
        await self._supervisor.stop(["api", *workers], within=within(_SERVICES_WITHIN))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within(_SANDBOXES_WITHIN)):
                await self._stop_sandboxes()
        await self._supervisor.stop(["gateway", "temporal"], within=within(_STORES_WITHIN))
        await self._supervisor.stop(["postgres"], within=within(_STORES_WITHIN))
        self._home.run_file.unlink(missing_ok=True)
        if self._stop.is_set():
            self._console.say(f"Stopped after {time.monotonic() - began:.1f} s.")

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._supervisor.hurry()
        self._stop.set()

    async def _unless_stopped(self, work: Coroutine[None, None, None]) -> bool:
        """Do the work; a signal cancels it. Return whether it was done."""
        task = asyncio.create_task(work)
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if task.done():
            task.result()
            return True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return False


@contextlib.asynccontextmanager
async def _one_failure() -> AsyncIterator[None]:
    """Let the first of a task group's failures through as itself."""
    try:
        yield
    except* CommandError as group:
        raise group.exceptions[0] from group


async def _require_database(url: str) -> None:
    if reason := await postgres_failure(url):
        raise CommandError(
            f"The PostgreSQL of DATABASE_URL cannot be used ({reason}). Start it or correct the "
            "URL; without that variable `cattery up` runs one of its own."
        )


def _load_clients() -> None:
    """Load what is slow to load while the stores start."""
    import psycopg  # noqa: F401

    import cli.sandboxes
    import cli.temporal_server  # noqa: F401


def _bring_up_to_date(url: str) -> str | None:
    """Migrate, and make the first admin; return its password if it was made just now."""
    from cattery.auth.bootstrap import ensure_admin
    from cattery.db.migrate import upgrade

    upgrade(url)
    return ensure_admin(url)
