"""Cattery in a real cluster, deployed once for all tests of this folder.

Two ways to a cluster:

- `CATTERY_CLUSTER_UP=/path/to/up`: a command that starts one and prints shell lines that set
  KUBECONFIG and PATH. `IMAGE_BUILD=/path/to/image` builds images straight into it.
- `KUBECONFIG=…`: one that runs and may be changed at will, with agent-sandbox installed. Images are
  built with docker and loaded into a kind cluster, or named by `TAG` (and `REGISTRY`).

`CATTERY_CLUSTER_KEEP=1` leaves Cattery there at the end. `TAG=…` uses images that are there.
"""

import base64
import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from cattery.clock import utc_now
from tests.cluster.kubectl import SANDBOXES, SYSTEM, Kubectl

ROOT = Path(__file__).parents[2]
OVERLAY = "k8s/overlays/kind"
STAND_INS = {"postgres:17": "postgres", "temporalio/temporal:1.9.1": "temporal"}
"""Images of others, by the folder beneath `CATTERY_STANDINS` that one can be built from."""
OUR_IMAGES = ("opencode", "filemgr", "server")
"""Those that every test here needs; the other harnesses' come with `harness_images`."""
BUILT_TAG = "test"
TEST_TIMEOUT = 300
_FOLDER = Path(__file__).parent


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give every test here the mark, and time that does not count what a fixture takes."""
    if _FOLDER in item.path.parents:
        item.add_marker(pytest.mark.cluster)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_TIMEOUT, func_only=True))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let outages come after what needs a whole cluster, and last what looks at the whole run."""
    items.sort(
        key=lambda item: (
            item.path.name == "test_rights.py",
            item.get_closest_marker("slow") is not None,
        )
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put what the cluster says beside a failed test."""
    report = yield
    kubectl = getattr(item, "funcargs", {}).get("kubectl")
    if report.failed and isinstance(kubectl, Kubectl):
        report.sections.append(("The cluster", kubectl.describe_namespaces()))
        report.sections.append(("Cattery's processes", kubectl.recent_logs()))
    return report


@dataclass(frozen=True, slots=True)
class Deployed:
    """Cattery as it runs in the cluster.

    Attributes:
        base_url: the API and the UI, from here.
        admin_password: of the user admin.
        token: a sign-in of that user.
        tag: of the images.
        since: when this deployment began, as audit logs write it.
    """

    base_url: str
    admin_password: str
    token: str
    tag: str
    kubectl: Kubectl
    since: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A folder that all test processes of this run share."""

    folder: Path

    @contextmanager
    def take(self, what: str) -> Iterator[bool]:
        """Hold the others back; yields whether this process is the first to do it."""
        done = self.folder / f"{what}.done"
        with (self.folder / "turn.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield not done.exists()
            done.touch()


@pytest.fixture(scope="session")
def turn(tmp_path_factory: pytest.TempPathFactory) -> Turn:
    """What several test processes of a run do one after the other."""
    folder = tmp_path_factory.getbasetemp()
    return Turn(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder)


@pytest.fixture(scope="session")
def kubectl(turn: Turn) -> Kubectl:
    """The cluster, started if need be."""
    up = os.environ.get("CATTERY_CLUSTER_UP")
    if up:
        script = 'eval "$("$0")"; printf "%s\\n%s\\n" "$KUBECONFIG" "$(command -v kubectl)"'
        command = ["bash", "-euc", script, up]
        with turn.take("cluster"):
            result = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=1_500
            )
        assert result.returncode == 0, f"{up} failed: {result.stderr[-2_000:]}"
        kubeconfig, program = result.stdout.split("\n")[-3:-1]
        return Kubectl(program, Path(kubeconfig))
    if not os.environ.get("KUBECONFIG"):
        pytest.skip(
            "needs a cluster that may be changed at will: set CATTERY_CLUSTER_UP to a command that "
            "starts one, or KUBECONFIG (after `make kind-up`: kind get kubeconfig --name cattery)"
        )
    found = shutil.which("kubectl")
    assert found is not None, "kubectl is not installed"
    return Kubectl(found, Path(os.environ["KUBECONFIG"]))


@pytest.fixture(scope="session")
def images(kubectl: Kubectl, turn: Turn) -> str:
    """The tag of Cattery's images, built and loaded."""
    if os.environ.get("TAG"):
        return os.environ["TAG"]
    with turn.take("images") as is_first:
        if is_first:
            _build_stand_ins()
            _build(OUR_IMAGES)
    return BUILT_TAG


@pytest.fixture(scope="session")
def harness_images(images: str) -> str:
    """The same tag; the images of all other harnesses are there as well."""
    if not os.environ.get("TAG"):
        _build(
            [
                name
                for name in _run(["scripts/images.sh", "--list"]).split()
                if name not in OUR_IMAGES
            ]
        )
    return images


@pytest.fixture(scope="session")
def deployed(kubectl: Kubectl, images: str) -> Iterator[Deployed]:
    """Cattery, deployed from the overlay, with the admin signed in."""
    since = utc_now().isoformat()
    _run(
        ["scripts/deploy.sh", OVERLAY, *os.environ.get("CATTERY_CLUSTER_SETTINGS", "").split()],
        KUBECONFIG=str(kubectl.kubeconfig),
        PATH=f"{Path(kubectl.program).parent}:{os.environ['PATH']}",
        TAG=images,
        RESTART="1",
    )
    password = read_secret(kubectl, "cattery-admin", "password")
    with _reach(kubectl, "cattery-api", 8080) as base_url:
        answer = httpx.post(
            f"{base_url}/api/v1/auth/login",
            json={"username": "admin", "password": password},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        yield Deployed(base_url, password, answer.json()["token"], images, kubectl, since)
    if not os.environ.get("CATTERY_CLUSTER_KEEP"):
        kubectl.run("delete", "namespace", SANDBOXES, SYSTEM, timeout=300)


@pytest.fixture
async def admin(deployed: Deployed) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the API, signed in as admin."""
    async with httpx.AsyncClient(
        base_url=f"{deployed.base_url}/api/v1",
        headers={"Authorization": f"Bearer {deployed.token}"},
        timeout=30,
    ) as client:
        yield client


def _build_stand_ins() -> None:
    builder = os.environ.get("IMAGE_BUILD")
    stand_ins = os.environ.get("CATTERY_STANDINS")
    if builder and stand_ins:
        loaded = _run([builder, "ls"])
        for name, folder in STAND_INS.items():
            if f"/{name}\n" not in loaded:
                _run([builder, "build", "-t", name, str(Path(stand_ins) / folder)])


def _build(names: Sequence[str]) -> None:
    """Build images from this clone and load them."""
    _run(["scripts/images.sh", *names], TAG=BUILT_TAG)
    if not os.environ.get("IMAGE_BUILD"):
        images = [f"cattery-{name}:{BUILT_TAG}" for name in names]
        _run(["kind", "load", "docker-image", "--name", "cattery", *images])


def read_secret(kubectl: Kubectl, name: str, key: str) -> str:
    """Read a value of a Secret of the installation."""
    data = kubectl.get("secret", name)["data"]
    assert isinstance(data, dict)
    return base64.b64decode(str(data[key])).decode()


class _reach:  # noqa: N801 - used like a function
    """Give a service's base URL: its own address where this machine reaches it, else a forward."""

    def __init__(self, kubectl: Kubectl, service: str, port: int) -> None:
        self._kubectl = kubectl
        self._service = service
        self._port = port
        self._forward: subprocess.Popen[str] | None = None

    def __enter__(self) -> str:
        spec = self._kubectl.get("service", self._service)["spec"]
        assert isinstance(spec, dict)
        try:
            with socket.create_connection((str(spec["clusterIP"]), self._port), timeout=3):
                return f"http://{spec['clusterIP']}:{self._port}"
        except OSError:
            return self._start_forward()

    def _start_forward(self) -> str:
        self._forward = subprocess.Popen(
            [
                *(self._kubectl.program, "--kubeconfig", str(self._kubectl.kubeconfig)),
                *("--namespace", SYSTEM, "port-forward", f"service/{self._service}"),
                f":{self._port}",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._forward.stdout is not None
        line = self._forward.stdout.readline()
        assert "127.0.0.1:" in line, f"kubectl port-forward said {line!r}"
        return "http://127.0.0.1:" + line.split("127.0.0.1:")[1].split(" ")[0]

    def __exit__(self, *_: object) -> None:
        if self._forward is not None:
            self._forward.terminate()
            self._forward.communicate(timeout=10)


def _run(command: list[str], **environment: str) -> str:
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=1_200,
    )
    assert result.returncode == 0, f"{' '.join(command)} failed:\n{result.stderr[-6_000:]}"
    return result.stdout
