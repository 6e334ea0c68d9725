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
    server = PostgresServer(folder, settings)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


class PostgresServer:
    """One server and its data, which may be taken away and come back on the same port."""

    def __init__(self, folder: Path, settings: Mapping[str, str] = MappingProxyType(FAST)) -> None:
        self._folder = folder
        self._settings = settings
        self._account = embedded_postgres._server_account()
        self._binaries = embedded_postgres._binaries()
        self._process: subprocess.Popen[bytes] | None = None
        self.environment: Mapping[str, str] = {}
        """Of the server once it is started the next time."""
        self.port = _free_port()
        self._make_data()

    @property
    def url(self) -> str:
        """The URL of its first database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Return once it answers."""
        given = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", **self._settings}
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        command += [f"--{name}={value}" for name, value in given.items()]
        command += ["--max_connections=200"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                bind_to_us(command, self._account), stdout=log, stderr=log, env=self.environment
            )
        _wait_until_ready(self.url, self._process)

    def stop(self) -> None:
        """End it in order: "fast", so that open connections do not hold it up."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """End it as `pg_ctl stop -m immediate` does: its next start recovers from its log."""
        self._end(signal.SIGQUIT)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _make_data(self) -> None:
        self._data.mkdir(mode=0o700)
        if self._account is not None:
            _open_path(self._folder, self._account)
            os.chown(self._data, self._account.uid, self._account.gid)
        initdb = [str(self._binaries / "initdb"), "-D", str(self._data), "-U", "postgres"]
        initdb += ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]
        initdb += ["--no-sync", "--no-instructions"]
        with self._log.open("wb") as log:
            command = bind_to_us(initdb, self._account)
            subprocess.run(command, check=True, stdout=log, stderr=log, env={})

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait()


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
