"""Cattery under a real Docker engine, started once for all tests of this folder.

Two ways to an engine:

- `CATTERY_DOCKER_UP=/path/to/up`: a command that starts one and prints shell lines that set
  DOCKER_HOST and what else the client needs. `IMAGE_BUILD=/path/to/image` builds images, and
  `CATTERY_DOCKER_LOAD=/path/to/load` brings them into the engine. `CATTERY_DOCKER_ADDRESS` is where
  this machine reaches its published ports, and `CATTERY_STANDINS` a folder of Dockerfiles for the
  images of others, where none can be pulled.
- `docker info` answers: that engine, with Compose, is used; images are built with it.

`TAG=…` uses images of ours that are there; `CATTERY_COMPOSE_KEEP=1` leaves Cattery running.
"""

import os
import subprocess
import time
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.compose.engine import Engine, Installation, NoEngineError, find_engine
from tests.e2e.client import Client

ROOT = Path(__file__).parents[2]
STAND_INS = {"postgres:17": "postgres", "temporalio/temporal:latest": "temporal"}
"""Images of others, by the folder beneath `CATTERY_STANDINS` that one can be built from."""
OUR_IMAGES = ("server", "server-local")
BUILT_TAG = "test"
HARNESS = "opencode"
TEST_TIMEOUT = 600
_FOLDER = Path(__file__).parent
_durations = pytest.StashKey[dict[str, float]]()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give every test here the mark, and time that does not count what a fixture takes."""
    if _FOLDER in item.path.parents:
        item.add_marker(pytest.mark.compose)
        item.add_marker(pytest.mark.timeout(TEST_TIMEOUT, func_only=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put what the containers say beside a failed test."""
    report = yield
    installation = getattr(item, "funcargs", {}).get("installation")
    if report.failed and isinstance(installation, Installation):
        report.sections.append(("Containers", installation.tell()))
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print how long each step took."""
    for name, seconds in config.stash.get(_durations, {}).items():
        terminalreporter.write_line(f"compose: {name:<58} {seconds:6.1f} s")


@pytest.fixture(scope="session")
def durations(pytestconfig: pytest.Config) -> dict[str, float]:
    """How long each step took; printed at the end."""
    return pytestconfig.stash.setdefault(_durations, {})


@pytest.fixture(scope="session")
def engine() -> Engine:
    """A Docker engine with Compose."""
    try:
        return find_engine()
    except NoEngineError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def images(engine: Engine, durations: dict[str, float]) -> str:
    """The tag of Cattery's images, built and in the engine."""
    began = time.monotonic()
    stand_ins, builder = os.environ.get("CATTERY_STANDINS"), os.environ.get("IMAGE_BUILD")
    # Another builder must not read the settings that are meant for the engine's own client.
    environ = dict(os.environ) if builder else engine.environ
    if stand_ins and builder:
        for name, folder in STAND_INS.items():
            if not engine.has_image(name):
                _run([builder, "build", "-t", name, str(Path(stand_ins) / folder)], environ)
                engine.load(name)
    tag = os.environ.get("TAG")
    if tag is None:
        tag = BUILT_TAG
        for name in OUR_IMAGES:
            _run(["scripts/images.sh", name], environ, TAG=tag, CATTERY_HARNESS_TYPES=HARNESS)
            if builder:
                engine.load(f"cattery-{name}:{tag}")
    durations["images, built and loaded"] = time.monotonic() - began
    for name in OUR_IMAGES:
        print(f"cattery-{name}: {engine.image_size(f'cattery-{name}:{tag}') / 1e6:.0f} MB")
    return tag


@pytest.fixture(scope="session")
def installation(
    engine: Engine,
    images: str,
    durations: dict[str, float],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    """Cattery, started as an operator does it: from nothing, by one command."""
    settings = {
        "CATTERY_BIND": engine.bind,
        "CATTERY_TAG": images,
        "CATTERY_HARNESS_TYPES": HARNESS,
        "TEMPORAL_IMAGE": "temporalio/temporal:latest",
    }
    made = Installation(engine, ROOT, tmp_path_factory.mktemp("compose"), settings)
    try:
        durations["up, from nothing"] = made.up()
        yield made
    finally:
        if not os.environ.get("CATTERY_COMPOSE_KEEP"):
            durations["down, with volumes"] = made.down(volumes=True)


@pytest.fixture
async def admin(installation: Installation) -> AsyncIterator[Client]:
    """The first administrator, with the password that stands in the secret's file."""
    # No connection is kept: while a command of Compose runs, nobody would see the API close it.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        yield await Client(http, installation.url).sign_in("admin", installation.password)


def _run(command: list[str], environ: dict[str, str], **more: str) -> None:
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=environ | more,
        capture_output=True,
        text=True,
        check=False,
        timeout=1_800,
    )
    assert result.returncode == 0, f"{command} failed:\n{result.stdout}{result.stderr}"[-4_000:]
