"""The whole product as a person starts it: `cattery up` with its own data folder and ports."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from cattery.settings import HomeSettings
from cli.harness_checks import require_harnesses
from cli.home import default_tools_folder, default_web_dist
from tests.processes import free_port

COMMAND = [sys.executable, "-P", "-m", "cli.main"]
UPLOAD_LIMIT = 20 * 1024 * 1024
READY_WITHIN = 300.0
"""For a machine that does a lot beside it: without the product a whole file fails."""
STOPPED_WITHIN = 20.0
_POLL_SECONDS = 0.03
_SAID_AT_THE_END = 25
"""Lines of output that a failing test shows."""


class Site:
    """One running `cattery up`."""

    def __init__(self, folder: Path, more_env: Mapping[str, str] | None = None) -> None:
        self.home = folder / "home"
        self.port = free_port()
        self.password = ""
        self._output = folder / "up.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._env = _environment(self.home, self.port) | dict(more_env or {})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        return self._output.read_text() if self._output.exists() else ""

    def start(self) -> None:
        """Start it, anew where it was ended, and wait until it says that it is ready."""
        if self._process is not None:
            self._process.wait(STOPPED_WITHIN)
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [*COMMAND, "up"],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + READY_WITHIN
        while "Ctrl-C stops" not in self.said:
            assert self._process.poll() is None, f"`cattery up` ended by itself:\n{self.said}"
            assert time.monotonic() < deadline, f"`cattery up` is not ready:\n{self.said}"
            time.sleep(_POLL_SECONDS)
        if not self.password:  # it is told once
            found = re.search(r"admin   password: (\S+)", self.said)
            assert found is not None, self.said
            self.password = found[1]

    def stop(self) -> None:
        """End it as Ctrl-C does; what does not end is killed and fails the test."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def part(self, name: str) -> psutil.Process:
        """Return the process of a part, by `cattery status`."""
        result = subprocess.run(
            [*COMMAND, "status", "--json"], env=self._env, capture_output=True, check=True
        )
        rows = json.loads(result.stdout)["parts"]
        return psutil.Process(next(int(row["pid"]) for row in rows if row["part"] == name))

    def opencode_of(self, harness_id: str) -> psutil.Process:
        """Return the agent's own process in a harness's sandbox, not what is wrapped around it."""
        for process in psutil.process_iter():
            try:
                is_agent = Path(process.exe()).name == "opencode"
                if is_agent and process.environ().get("HARNESS_ID") == harness_id:
                    return process
            except psutil.Error:
                continue
        raise AssertionError(f"no opencode runs for harness {harness_id}")

    def workspace_of(self, project_id: str) -> Path:
        """Return the project's workspace on this machine's disk."""
        found = [path for path in self.home.rglob(project_id) if path.is_dir()]
        assert len(found) == 1, found
        return found[0]

    def tell(self) -> str:
        """Return the last of what the site and its parts wrote, for a failing test."""
        logs = sorted(self.home.glob("logs/*"))
        parts = [(self._output.name, self.said)]
        parts += [(log.name, log.read_text(errors="replace")) for log in logs if log.is_file()]
        return "\n".join(f"--- {name}\n{_end_of(text)}" for name, text in parts)


async def eventually(condition: Callable[[], bool], what: str, within: float = 60) -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: it does not come to hold; `what` says what was waited for.
    """
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"waited {within:.0f} s in vain: {what}"
        await asyncio.sleep(_POLL_SECONDS)


def _end_of(log: str) -> str:
    """Return a log's last lines, without the requests that went well."""
    lines = [line for line in log.splitlines() if '"status": 2' not in line]
    return "\n".join(lines[-_SAID_AT_THE_END:])


def _environment(home: Path, port: int) -> dict[str, str]:
    """Build what `cattery up` sees: no model key, so that the demo model answers.

    Raises:
        CommandError: opencode is not installed; its message says what to do.
        AssertionError: the web UI is not built.
    """
    tools = Path(os.environ.get("CATTERY_TOOLS") or default_tools_folder() or "")
    require_harnesses(HomeSettings(tools=tools))
    web = os.environ.get("CATTERY_WEB_DIST") or default_web_dist()
    assert web, "The web UI is not built. Run `scripts/install.sh web`, then the tests again."
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        "CATTERY_HOME": str(home),
        "CATTERY_PORT": str(port),
        "CATTERY_TOOLS": str(tools),
        "CATTERY_WEB_DIST": str(web),
        "CATTERY_MAX_UPLOAD_BYTES": str(UPLOAD_LIMIT),
        # All tests come from one address.
        "CATTERY_LOGIN_BURST": "10000",
        "CATTERY_LOGIN_PER_MINUTE": "10000",
    }
