"""`cattery up` with all its real processes: started, killed, stopped, and started again."""

import asyncio
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest

from cli.embedded_temporal import temporal_part
from cli.home import Home, default_tools_folder
from cli.supervisor import bind_to_us
from cli.temporal_server import server_answers
from tests.conftest import fresh_database
from tests.processes import free_port

COMMAND = [sys.executable, "-P", "-m", "cli.main"]
READY_WITHIN = 150.0
STOPPED_WITHIN = 15.0
KEY = "sk-ant-this-is-the-key"
pytestmark = pytest.mark.timeout(600)


class Up:
    """One `cattery up` in a data folder of its own, and what it says."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.env = dict(env)
        self.process = subprocess.Popen(
            [*COMMAND, "up"],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def said(self) -> str:
        return "".join(self._lines)

    def wait_ready(self) -> None:
        wait_until(lambda: "Ctrl-C stops" in self.said or self.process.poll() is not None, self)
        assert self.process.poll() is None, self.said

    def part(self, name: str) -> psutil.Process:
        rows = status(self.env)["parts"]
        return psutil.Process(next(int(row["pid"]) for row in rows if row["part"] == name))

    def stop(self) -> float:
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=STOPPED_WITHIN)
        self._reader.join()
        return time.monotonic() - began

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(timeout=10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)


class Machine:
    """A data folder, a free port, and the environment that commands get."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.port = free_port()
        kept = ("PATH", "HOME", "LANG")
        self.env = {name: os.environ[name] for name in kept if name in os.environ} | {
            "CATTERY_HOME": str(self.home),
            "CATTERY_PORT": str(self.port),
            "CATTERY_TOOLS": os.environ.get("CATTERY_TOOLS", str(default_tools_folder())),
        }
        self._open = ExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self, **more: str) -> Up:
        started = Up(self.home, self.env | more)
        self._open.callback(started.close)
        return started

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *command],
            env=self.env | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def processes(self, folder: Path | None = None) -> list[str]:
        """Name every process that has to do with the data folder, or one beneath it."""
        found = []
        for process in psutil.process_iter():
            try:
                about = " ".join([*process.cmdline(), *process.environ().values()])
                if str(folder or self.home) in about and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"{process.pid} {process.name()}")
            except psutil.Error:
                continue
        return found

    def log_in(self, password: str) -> int:
        body = json.dumps({"username": "admin", "password": password}).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(f"{self.url}/api/v1/auth/login", body, headers)
        try:
            with urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except HTTPError as error:
            error.close()
            return error.code

    def close(self) -> None:
        self._open.close()
        if self.processes():
            self.run("down")  # ends what a killed supervisor left


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.close()


def test_the_story_from_the_first_start_over_a_crash_to_a_clean_end(machine: Machine) -> None:
    first = machine.up()
    first.wait_ready()
    password = re.findall(r"admin   password: (\S+)", first.said)
    assert len(password) == 1
    assert "the built-in demo model answers" in first.said
    assert machine.log_in(password[0]) == 200
    assert stat.S_IMODE(machine.home.stat().st_mode) == 0o700

    second = machine.run("up")
    assert second.returncode == 1
    assert f"Cattery already runs at {machine.url} (process {first.process.pid})" in second.stderr

    first.part("gateway").kill()
    wait_until(lambda: "is ready again" in first.said, first)
    assert re.search(r"gateway +was ended by SIGKILL; starting it again in 0\.5 s", first.said)

    told = machine.run("demo")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "/hello.txt" in told.stdout

    crash_in_the_middle_of_a_turn(machine, first)
    again = machine.up()
    again.wait_ready()
    assert "password:" not in again.said
    assert machine.log_in(password[0]) == 200

    assert again.stop() < STOPPED_WITHIN
    assert again.process.returncode == 0
    assert machine.processes() == []


def test_external_stores_are_used_and_none_is_started(
    machine: Machine, tmp_path: Path, postgres_url: str
) -> None:
    with (
        fresh_database(postgres_url, f"cattery_up_{os.getpid()}") as url,
        temporal_server(tmp_path) as address,
    ):
        stores = {"DATABASE_URL": url, "TEMPORAL_ADDRESS": address}
        model = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}
        up = machine.up(**stores, **model)
        up.wait_ready()
        assert "demo model" not in up.said
        assert_key_is_only_in_the_gateway(up)
        rows = status(up.env)["parts"]
        assert {row["part"] for row in rows} == {"gateway", "api", "worker-1"}
        assert not (machine.home / "postgres").exists()

        examined = machine.run("doctor", **stores)
        assert examined.returncode == 0, examined.stdout
        assert "external, reachable, all migrations applied" in examined.stdout
        assert f"reachable at {address}, search attributes set" in examined.stdout
        reset = machine.run("admin", "reset-password", **stores)
        found = re.search(r"new password of admin is: (\S+)", reset.stdout)
        assert found is not None, reset.stderr
        assert machine.log_in(found[1]) == 200
        assert machine.run("down").returncode == 0
        assert up.process.wait(timeout=5) == 0


def test_a_database_that_is_not_there_is_said_in_a_sentence(machine: Machine) -> None:
    url = f"postgresql://u:secret@127.0.0.1:{free_port()}/d"
    result = machine.run("up", DATABASE_URL=url)
    assert result.returncode == 1
    assert "The PostgreSQL of DATABASE_URL cannot be used (" in result.stderr
    assert "secret" not in result.stdout + result.stderr
    assert machine.processes() == []


def test_a_taken_port_is_said_with_the_remedy(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", machine.port)):
        result = machine.run("up")
    assert result.returncode == 1
    assert f"Port {machine.port} is taken by process {os.getpid()}" in result.stderr
    assert f"CATTERY_PORT={machine.port + 1}" in result.stderr
    assert machine.processes() == []


def test_without_any_harness_nothing_is_started(machine: Machine, tmp_path: Path) -> None:
    result = machine.run("up", CATTERY_TOOLS=str(tmp_path / "tools"))
    assert result.returncode == 1
    assert "No harness is installed in" in result.stderr
    assert "make install" in result.stderr


def test_without_a_running_instance_commands_say_so(machine: Machine) -> None:
    assert machine.run("status").returncode == 1
    assert json.loads(machine.run("status", "--json").stdout)["running"] is False
    assert "No Cattery runs" in machine.run("down").stdout
    asked = machine.run("migrate")
    assert asked.returncode == 1
    assert "Start it with `cattery up`" in asked.stderr


def crash_in_the_middle_of_a_turn(machine: Machine, up: Up) -> None:
    """Kill the supervisor while an agent works; its sandbox outlives that."""
    words: list[str] = []
    with subprocess.Popen(
        [*COMMAND, "demo", "--prompt", "run sleep 30"],
        env=machine.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as telling:
        stdout = telling.stdout
        assert stdout is not None
        reader = threading.Thread(target=lambda: words.extend(stdout), daemon=True)
        reader.start()
        wait_until(lambda: "[tool]" in "".join(words), up)
        up.process.kill()
        up.process.wait()
        telling.kill()
        reader.join()
    assert machine.processes(machine.home / "sandboxes")


@contextmanager
def temporal_server(folder: Path) -> Iterator[str]:
    """A Temporal server that `cattery up` did not start, prepared as an operator would."""
    home = Home(folder / "temporal-home")
    home.prepare()
    port = free_port()
    part = temporal_part(home, port, free_port(), "default", {"PATH": os.environ["PATH"]})
    env = {"TEMPORAL_ADDRESS": f"127.0.0.1:{port}", "HOME": str(folder)}
    with (folder / "temporal.log").open("wb") as log:
        server = subprocess.Popen(
            bind_to_us(part.command), env=dict(part.env), stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + READY_WITHIN
            while not asyncio.run(server_answers(f"127.0.0.1:{port}", "default")):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            prepare = [*COMMAND, "setup-temporal"]
            subprocess.run(prepare, env=env, check=True, stdin=subprocess.DEVNULL)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def assert_key_is_only_in_the_gateway(up: Up) -> None:
    for row in status(up.env)["parts"]:
        environ = psutil.Process(int(row["pid"])).environ()
        has_key = any(KEY in value for value in environ.values())
        assert has_key == (row["part"] == "gateway"), row["part"]


def status(env: Mapping[str, str]) -> dict[str, list[dict[str, str]]]:
    result = subprocess.run(
        [*COMMAND, "status", "--json"], env=dict(env), capture_output=True, text=True, check=True
    )
    document: dict[str, list[dict[str, str]]] = json.loads(result.stdout)
    return document


def wait_until(condition: Callable[[], bool], up: Up) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while not condition():
        assert time.monotonic() < deadline, up.said
        time.sleep(0.02)
