"""A throw-away PostgreSQL for tests, from the binaries that `cattery up` runs."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import psycopg

from cli import embedded_postgres
from cli.supervisor import Account, bind_to_us

START_TIMEOUT = 60.0
# Nobody needs the data of a test after a power cut.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@contextmanager
def running_postgres(
    folder: Path, settings: Mapping[str, str] = MappingProxyType(FAST)
) -> Iterator[str]:
    """Run a server on a free loopback port; it ends with this process, whatever happens."""
    account = embedded_postgres._server_account()
    binaries = embedded_postgres._binaries()
    data = folder / "data"
    data.mkdir(mode=0o700)
    if account is not None:
        _open_path(folder, account)
        os.chown(data, account.uid, account.gid)
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust"]
    initdb += ["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
    with (folder / "log").open("wb") as log:
        subprocess.run(bind_to_us(initdb, account), check=True, stdout=log, stderr=log, env={})
        port = _free_port()
        given = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", **settings}
        command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port)]
        command += [f"--{name}={value}" for name, value in given.items()]
        command += ["--max_connections=200"]
        server = subprocess.Popen(bind_to_us(command, account), stdout=log, stderr=log, env={})
        try:
            url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
            _wait_until_ready(url, server)
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # "fast": open connections do not hold it up
            server.wait()


def _wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert server.poll() is None, "PostgreSQL ended; see the log beside its data"
            assert time.monotonic() < deadline, "PostgreSQL did not start"
            time.sleep(0.02)
        else:
            return


def _open_path(folder: Path, account: Account) -> None:
    """Let the server's own user reach its folder below pytest's, which is closed to others."""
    os.chown(folder, account.uid, account.gid)
    for parent in folder.parents:
        if parent.stat().st_mode & 0o001:
            break
        parent.chmod(parent.stat().st_mode | 0o001)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
