"""The model gateway's process: its settings, the tokens in the database, its signals.

It stands here and not in `gateway` so that the gateway itself needs no database to be tested.
"""

import asyncio
import signal

from cattery.db.engine import Database, connect
from cattery.db.sandbox_tokens import DatabaseTokenVerifier
from cattery.heap import freeze_loaded
from cattery.logs import configure_logging
from cattery.settings import DatabaseSettings, GatewaySettings, HomeSettings
from cli.configuration import read_settings
from gateway.server import serve


def run() -> None:
    """Serve until SIGTERM or SIGINT."""
    home = read_settings(HomeSettings)
    configure_logging(log_format=home.log_format, level=home.log_level)
    settings, database = read_settings(GatewaySettings), read_settings(DatabaseSettings)
    with asyncio.Runner() as runner:
        runner.run(_serve(settings, connect(database)))


async def _serve(settings: GatewaySettings, database: Database) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    freeze_loaded()
    try:
        await serve(settings, DatabaseTokenVerifier(database), stop=stop)
    finally:
        await database.close()
