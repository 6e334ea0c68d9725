"""Runs the HTTP process: builds every part from the environment, serves, and ends in order."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from socket import socket
from types import FrameType
from typing import override

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI
from temporalio.client import Client

from api.app import create_app
from api.cluster_access import ClusterAccess
from api.lifecycles import Lifecycles
from api.local_access import LocalAccess
from api.site import HealthCheck, SiteFacts, SiteSettings, describe_harness_types
from api.temporal_lifecycles import TemporalLifecycles
from cattery.db import engine
from cattery.db.engine import Database
from cattery.events.hub import StreamHub
from cattery.harnesses.registry import HarnessRegistry, load_registry
from cattery.heap import freeze_loaded
from cattery.logs import configure_logging
from cattery.open_files import allow_many_files
from cattery.sandboxes.factory import create_local_runtime
from cattery.sandboxes.port import SandboxAccess
from cattery.settings import (
    ApiSettings,
    DatabaseSettings,
    HarnessSettings,
    HomeSettings,
    SandboxSettings,
    TemporalSettings,
)
from cattery.temporal.client import connect

log = structlog.get_logger(__name__)

STREAM_GRACE_SECONDS = 3
"""How long open requests may take to end once the streams have been told to; all within 10 s."""
DEMO_HINT = (
    "No model is configured, so a built-in demo answers. Set ANTHROPIC_API_KEY or OPENAI_API_KEY"
    " (or a base URL of your own) and start Cattery again."
)


def run() -> None:
    """Run the HTTP process until it is told to stop. Settings come from the environment."""
    home = HomeSettings()
    configure_logging(log_format=home.log_format, level=home.log_level)
    quieten_server()
    allow_many_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(home))


def quieten_server() -> None:
    """Keep uvicorn's own lines about requests out of the log: they bring whole URLs with queries.

    Its `access_log=False` covers HTTP only; WebSocket handshakes are logged by `uvicorn.error`.
    """
    for name in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)


async def _serve(home: HomeSettings) -> None:
    settings = ApiSettings()
    async with _open_parts(home, settings) as (app, hub):
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            http="httptools",
            ws="websockets-sansio",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=STREAM_GRACE_SECONDS,
            ws_max_size=1024 * 1024,
        )
        freeze_loaded()
        log.info("api_started", host=settings.host, port=settings.port)
        await _Server(config, hub).serve()
    log.info("api_stopped")


@asynccontextmanager
async def _open_parts(
    home: HomeSettings, settings: ApiSettings
) -> AsyncIterator[tuple[FastAPI, StreamHub]]:
    database_settings = DatabaseSettings()
    database = engine.connect(database_settings)
    hub = StreamHub(database_settings.url.get_secret_value())
    client = await connect(TemporalSettings(), lazy=True)
    lifecycles = TemporalLifecycles(client, database)
    registry = load_registry(HarnessSettings())
    access = _create_access(home, database, lifecycles, registry)
    await hub.start()
    facts = SiteFacts(
        version=version("cattery"),
        harness_types=describe_harness_types(registry, _tools_folder(home)),
        demo_model=SiteSettings().demo_model,
        demo_hint=DEMO_HINT if SiteSettings().demo_model else None,
        idle_timeout_seconds=round(SandboxSettings().idle_timeout.total_seconds()),
    )
    app = create_app(
        settings,
        facts,
        registry,
        database,
        access,
        lifecycles,
        hub,
        checks={"temporal": _temporal_check(client)},
    )
    try:
        yield app, hub
    finally:
        await hub.close()
        await access.close()
        await database.close()


def _tools_folder(home: HomeSettings) -> Path | None:
    """Return where harnesses of this machine are installed; `None` where images bring them."""
    settings = SandboxSettings()
    return None if settings.runtime == "kubernetes" or settings.is_elsewhere else home.tools_folder


def _create_access(
    home: HomeSettings, database: Database, lifecycles: Lifecycles, registry: HarnessRegistry
) -> SandboxAccess:
    settings = SandboxSettings()
    if settings.runtime == "kubernetes":
        return ClusterAccess(database, lifecycles)
    return LocalAccess(create_local_runtime(home, settings, registry), database)


class _Server(uvicorn.Server):
    """A server that ends the event streams first, so that nobody waits for them."""

    def __init__(self, config: uvicorn.Config, hub: StreamHub) -> None:
        super().__init__(config)
        self._hub = hub

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ask for an orderly end; unlike uvicorn's own, never raise the signal again after it."""
        self.should_exit = True

    @override
    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self._hub.end_streams()
        await super().shutdown(sockets)


def _temporal_check(client: Client) -> HealthCheck:
    async def check() -> None:
        await client.service_client.check_health()

    return check
