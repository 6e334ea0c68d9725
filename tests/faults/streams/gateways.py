"""The model gateway as a process of its own, over links that break, before a model that fails."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import aiohttp
from sqlalchemy import insert, select

from cattery.auth.sandbox_tokens import hash_token, new_token
from cattery.db.tables import HarnessRow, SandboxTokenRow
from cattery.settings import LOOPBACK
from tests.faults.streams.installation import START_SECONDS, Installation
from tests.faults.streams.postgres_wire import UNENCRYPTED, PostgresProxy
from tests.faults.streams.proxy import TcpProxy, proxied
from tests.processes import PythonProcess, free_port
from tests.unit.gateway_support import ANTHROPIC_KEY, OPENAI_KEY, Provider, running_provider

IDLE_SECONDS = 2.0
"""Of silence after which this gateway gives a model up."""
_RUN = ["-c", "from cli.gateway_process import run; run()"]


@dataclass(eq=False)
class Gateway:
    """One gateway: its process, the model behind it, the links to both, and a sandbox's token."""

    url: str
    process: PythonProcess
    provider: Provider
    to_model: TcpProxy
    to_database: PostgresProxy
    token: str
    http: aiohttp.ClientSession

    def ask(self, path: str, token: str | None = None) -> "aiohttp.client._RequestContextManager":
        """Ask the model for a stream, as an agent does."""
        headers = {"x-api-key": token or self.token, "Content-Type": "application/json"}
        return self.http.post(f"{self.url}{path}", data=b'{"stream": true}', headers=headers)

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self.process.start()
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                async with self.http.get(f"{self.url}/healthz") as answer:
                    assert answer.status == 200
                    return
            except aiohttp.ClientError:
                log = self.process.log
                assert time.monotonic() < deadline, f"no gateway came:\n{log.read_text()[-2000:]}"
                await asyncio.sleep(0.1)


@asynccontextmanager
async def running_gateway(installation: Installation, harness: str) -> AsyncIterator[Gateway]:
    """Run a gateway on the installation's database."""
    port = free_port()
    database = PostgresProxy("gateway/postgres", installation.postgres.port)
    async with (
        running_provider() as provider,
        proxied(TcpProxy("gateway/model", int(provider.url.rpartition(":")[2]))) as model,
        proxied(database),
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http,
    ):
        address = f"http://{LOOPBACK}:{model.port}"
        at = f"{LOOPBACK}:{database.port}/postgres{UNENCRYPTED}"
        environment = {
            **{k: v for k, v in installation.apis[0].process.environment.items() if k == "PATH"},
            "CATTERY_HOME": str(installation.home),
            "CATTERY_GATEWAY_PORT": str(port),
            "CATTERY_UPSTREAM_IDLE_TIMEOUT": f"PT{IDLE_SECONDS:g}S",
            "DATABASE_URL": f"postgresql://postgres@{at}",
            "ANTHROPIC_BASE_URL": address,
            "ANTHROPIC_API_KEY": ANTHROPIC_KEY,
            "OPENAI_BASE_URL": f"{address}/v1",
            "OPENAI_API_KEY": OPENAI_KEY,
        }
        process = PythonProcess(_RUN, environment, installation.folder / f"gateway-{port}.log")
        token = await issue_token(installation, harness)
        made = Gateway(f"http://{LOOPBACK}:{port}", process, provider, model, database, token, http)
        try:
            await made.start()
            yield made
        finally:
            await asyncio.to_thread(process.stop)


async def issue_token(installation: Installation, harness: str) -> str:
    """Write down one more token of a sandbox that runs."""
    token = new_token()
    async with installation.database.write() as rows:
        generation = await rows.scalar(
            select(HarnessRow.generation).where(HarnessRow.id == UUID(harness))
        )
        await rows.execute(
            insert(SandboxTokenRow).values(
                token_hash=hash_token(token), harness_id=UUID(harness), generation=generation
            )
        )
    return token
