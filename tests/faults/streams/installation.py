"""A whole installation as processes of its own, with a proxy between each two of them.

Two APIs, two workers, PostgreSQL, Temporal with its database file, and scripted harnesses in real
sandboxes. Everything goes through a link that can be cut: `links` has them by name, such as
`api-0/postgres`; those to the harnesses are `harness:<port>`.
"""

import asyncio
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import aiohttp
import psutil
from pydantic import SecretStr

from cattery.auth.bootstrap import ensure_admin, mint_token
from cattery.db.engine import Database, connect
from cattery.db.migrate import upgrade
from cattery.settings import LOOPBACK, DatabaseSettings
from cattery.temporal.schedules import ensure_search_attributes
from tests.faults.streams.history import History
from tests.faults.streams.postgres_wire import UNENCRYPTED, PostgresProxy
from tests.faults.streams.proxy import TcpProxy
from tests.faults.streams.servers import TemporalServer
from tests.faults.streams.worker import CONTROL, ROUTE
from tests.postgres_server import PostgresServer
from tests.processes import PythonProcess, free_port

APIS = 2
WORKERS = 2
START_SECONDS = 90.0
RUN_API = ["-c", "from api.main import run; run()"]
RUN_WORKER = ["-m", "tests.faults.streams.worker"]
DURABLE: Mapping[str, str] = {"fsync": "on"}


@dataclass(eq=False)
class Node:
    """One API or worker, and the file or address that says that it is ready."""

    name: str
    process: PythonProcess
    ready_file: Path | None = None
    is_stopped: bool = False

    def start(self) -> None:
        if self.ready_file:
            self.ready_file.unlink(missing_ok=True)
        self.process.start()
        self.is_stopped = False

    def kill(self) -> None:
        self.is_stopped = True
        self.process.kill()

    def freeze(self) -> None:
        self.process.process.suspend()

    def thaw(self) -> None:
        with suppress(psutil.NoSuchProcess):
            self.process.process.resume()

    def tail(self) -> str:
        log = self.process.log
        return log.read_text(errors="replace")[-2_000:] if log.exists() else ""


@dataclass(eq=False)
class Installation:
    """What runs, and how it is reached."""

    folder: Path
    home: Path
    postgres: PostgresServer
    temporal: TemporalServer
    database: Database
    history: History
    links: dict[str, TcpProxy]
    apis: list[Node]
    workers: list[Node]
    urls: list[str]
    """Of the APIs, each through its link."""
    token: str = ""
    harness_ids: list[str] = field(default_factory=list)

    def database_links(self) -> list[PostgresProxy]:
        return [link for link in self.links.values() if isinstance(link, PostgresProxy)]

    def harness_links(self) -> list[TcpProxy]:
        return [link for name, link in self.links.items() if name.startswith("harness:")]

    async def wait_until_ready(self, node: Node) -> None:
        """Wait until an API or a worker works again."""
        deadline = time.monotonic() + START_SECONDS
        while not await self._is_ready(node):
            self.restart_if_ended(node)
            assert time.monotonic() < deadline, f"{node.name} did not start:\n{node.tail()}"
            await asyncio.sleep(0.1)

    def restart_if_ended(self, node: Node) -> bool:
        """Start a process again that ended by itself, as whoever runs it would; tells whether."""
        if node.is_stopped or not node.process.has_ended:
            return False
        self.history.note(f"{node.name} ended by itself and was started again")
        node.start()
        return True

    def harness_processes(self, harness_id: str) -> list[psutil.Process]:
        """Find the scripted harness of a sandbox."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if any("scripted_harness" in word for word in words) and any(
                harness_id in word and str(self.home) in word for word in words
            ):
                found.append(process)
        return found

    async def _is_ready(self, node: Node) -> bool:
        if node.ready_file:
            return node.ready_file.exists()
        url = self.urls[self.apis.index(node)]
        timeout = aiohttp.ClientTimeout(total=5)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.get(f"{url}/readyz") as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


@asynccontextmanager
async def open_installation(
    folder: Path, *, postgres: Mapping[str, str] = DURABLE
) -> AsyncIterator[Installation]:
    """Start everything but the harnesses; nothing of it runs afterwards."""
    (folder / "postgres").mkdir(parents=True)
    async with AsyncExitStack() as stack:
        server = PostgresServer(folder / "postgres", postgres)
        stack.callback(server.stop)
        server.start()
        upgrade(server.url)
        await asyncio.to_thread(ensure_admin, server.url)
        temporal = TemporalServer(folder)
        stack.callback(temporal.kill)
        await temporal.start()
        await ensure_search_attributes(await temporal.connect())
        database = connect(DatabaseSettings(url=SecretStr(server.url)))
        stack.push_async_callback(database.close)
        made = Installation(
            folder, folder / "home", server, temporal, database, History(), {}, [], [], []
        )
        stack.push_async_callback(_close_links, made)
        stack.callback(_kill_sandboxes, made.home)
        control = await stack.enter_async_context(_routing(made))
        secret = secrets.token_hex(32)
        made.token = await mint_token(server.url, secret, "admin", lifetime=timedelta(hours=12))
        for number in range(WORKERS):
            await _add_worker(made, number, {CONTROL: str(control), "CATTERY_JWT_SECRET": secret})
        for number in range(APIS):
            await _add_api(made, number, {"CATTERY_JWT_SECRET": secret})
        stack.push_async_callback(_end_all, made)
        for node in (*made.workers, *made.apis):
            node.start()
        for node in (*made.workers, *made.apis):
            await made.wait_until_ready(node)
        yield made


async def _add_worker(made: Installation, number: int, more: Mapping[str, str]) -> None:
    name = f"worker-{number}"
    ready = made.folder / f"{name}.ready"
    environment = await _environment(made, name)
    environment |= {**more, "CATTERY_WORKER_READY_FILE": str(ready)}
    process = PythonProcess(RUN_WORKER, environment, made.folder / f"{name}.log")
    made.workers.append(Node(name, process, ready))


async def _add_api(made: Installation, number: int, more: Mapping[str, str]) -> None:
    name = f"api-{number}"
    port = free_port()
    environment = await _environment(made, name) | {**more, "CATTERY_PORT": str(port)}
    made.apis.append(Node(name, PythonProcess(RUN_API, environment, made.folder / f"{name}.log")))
    link = await _link(made, TcpProxy(f"client/{name}", port))
    made.urls.append(f"http://{LOOPBACK}:{link.port}")


async def _environment(made: Installation, name: str) -> dict[str, str]:
    """Make a process's links to the servers, and say where they are."""
    postgres = await _link(made, PostgresProxy(f"{name}/postgres", made.postgres.port))
    temporal = await _link(made, TcpProxy(f"{name}/temporal", made.temporal.port))
    return {
        "PATH": str(Path(sys.executable).parent),  # no bubblewrap: see scripted_type
        "DATABASE_URL": f"postgresql://postgres@{LOOPBACK}:{postgres.port}/postgres{UNENCRYPTED}",
        "TEMPORAL_ADDRESS": f"{LOOPBACK}:{temporal.port}",
        "CATTERY_HOME": str(made.home),
        "CATTERY_LOG_LEVEL": "INFO",
        "CATTERY_IDLE_TIMEOUT": "PT0S",
    }


async def _link[Kind: TcpProxy](made: Installation, proxy: Kind) -> Kind:
    await proxy.start()
    made.links[proxy.name] = proxy
    return proxy


@asynccontextmanager
async def _routing(made: Installation) -> AsyncIterator[int]:
    """Hear of each harness before it starts, and stand before its port."""

    async def route(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = int(await reader.readline())
        name = f"harness:{port}"
        if name not in made.links:
            await _link(made, TcpProxy(name, port, host=ROUTE, port=port))
        writer.write(b"routed\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(route, LOOPBACK, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def _close_links(made: Installation) -> None:
    for link in made.links.values():
        await link.close()


async def _end_all(made: Installation) -> None:
    """End every process beside the loop, in which the links work that they need."""
    for link in made.links.values():
        await link.heal()
    await asyncio.gather(*(asyncio.to_thread(_end, node) for node in (*made.apis, *made.workers)))


def _end(node: Node) -> None:
    if not node.is_stopped:
        node.thaw()
        node.process.stop()


def _kill_sandboxes(home: Path) -> None:
    """End what still runs in the sandboxes, once nobody would start it again."""
    for process in psutil.process_iter(["cmdline"]):
        if any(str(home) in word for word in process.info["cmdline"] or []):
            with suppress(psutil.NoSuchProcess):
                process.kill()
