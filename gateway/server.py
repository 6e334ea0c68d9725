"""Runs the gateway on its port until told to stop, and then lets open streams end."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final, override

import structlog
from aiohttp import web

from cattery.settings import GatewaySettings
from gateway.app import OPEN_EXCHANGES, create_app
from gateway.tokens import TokenVerifier

log = structlog.stdlib.get_logger(__name__)

STOP_PATIENCE: Final = timedelta(seconds=5)
"""What open streams get to end by themselves."""
BACKLOG: Final = 1024
"""Connections that may wait to be accepted; past it a client's kernel tries again after 1 s."""


async def serve(
    settings: GatewaySettings,
    verifier: TokenVerifier,
    *,
    ready: Callable[[], None] | None = None,
    stop: asyncio.Event,
) -> None:
    """Serve on the settings' host and port until `stop` is set.

    Args:
        settings: the providers and their keys; without any, the demo model answers.
        verifier: knows the valid sandbox tokens.
        ready: called once when connections are accepted.
        stop: ends it: no new requests, open streams get `STOP_PATIENCE`, then an error event.

    Raises:
        BadRequestError: a provider's address in the settings is none.
        OSError: the port cannot be bound.
    """
    app = create_app(settings, verifier)
    runner = create_runner(app)
    await runner.setup()
    try:
        host, port = settings.gateway_host, settings.gateway_port
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        log.info("gateway_started", port=settings.gateway_port, is_demo=settings.is_demo)
        if ready is not None:
            ready()
        await stop.wait()
        await stop_gracefully(app, runner)
    finally:
        await runner.cleanup()
        log.info("gateway_stopped")


def create_runner(app: web.Application) -> web.AppRunner:
    """Make the HTTP server for the application.

    A client that goes away cancels its request, and with it the one to the provider. There is no
    access log: the application writes its own events, which hold no content.
    """
    return web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=75,
        shutdown_timeout=1,
        logger=_content_free_logger(),
    )


async def stop_gracefully(
    app: web.Application, runner: web.AppRunner, *, patience: timedelta = STOP_PATIENCE
) -> None:
    """Accept no more connections and let the open exchanges end."""
    for site in list(runner.sites):
        await site.stop()
    await app[OPEN_EXCHANGES].drain(patience)


class _ContentFree(logging.Filter):
    """Reduces a logged exception to its type: what a parser complains of is what a client sent."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            record.msg = f"{record.getMessage()}: {type(record.exc_info[1]).__name__}"
            record.args = None
            record.exc_info = None
            record.exc_text = None
        return True


def _content_free_logger() -> logging.Logger:
    logger = logging.getLogger("gateway.http")
    if not any(isinstance(f, _ContentFree) for f in logger.filters):
        logger.addFilter(_ContentFree())
    return logger
