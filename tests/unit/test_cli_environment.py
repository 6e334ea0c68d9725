"""No process holds a variable that it has no use for; the model keys least of all."""

from pathlib import Path

import pytest

from cli.configuration import UpSettings
from cli.environment import (
    api_environment,
    gateway_environment,
    server_environment,
    worker_environment,
)
from cli.home import Home
from cli.parts import Wiring, api_part, gateway_part, worker_part

KEYS = {"ANTHROPIC_API_KEY": "sk-ant-secret", "OPENAI_API_KEY": "sk-secret"}
ENVIRON = {
    "PATH": "/bin",
    "HOME": "/home/somebody",
    "LANG": "C.UTF-8",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "GITHUB_TOKEN": "secret",
    "HTTPS_PROXY": "http://proxy:3128",
    "CATTERY_LOG_LEVEL": "DEBUG",
    "CATTERY_JWT_SECRET": "j" * 40,
    "CATTERY_WORKER_TURNS": "7",
    "CATTERY_WORKER_METRICS_ADDRESS": "127.0.0.1:9464",
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
    **KEYS,
}


@pytest.fixture
def wiring(tmp_path: Path) -> Wiring:
    home = Home(tmp_path / "home")
    home.prepare()
    return Wiring(
        home=home,
        settings=UpSettings(port=8123, web_dist=tmp_path / "dist"),
        tools=tmp_path / "tools",
        database_url="postgresql://u:p@127.0.0.1:1/d",
        temporal_address="127.0.0.1:2",
        temporal_ui_url="http://127.0.0.1:3",
        gateway_port=4,
        demo_model=True,
    )


def test_servers_get_nothing_but_what_every_program_needs() -> None:
    assert server_environment(ENVIRON) == {
        "PATH": "/bin",
        "HOME": "/home/somebody",
        "LANG": "C.UTF-8",
    }


def test_only_the_gateway_gets_model_keys_and_proxies() -> None:
    gateway = gateway_environment(ENVIRON, {})
    others = [server_environment(ENVIRON), api_environment(ENVIRON, {})]
    others.append(worker_environment(ENVIRON, {}))
    assert KEYS.items() <= gateway.items()
    assert "HTTPS_PROXY" in gateway
    for other in others:
        assert not {*KEYS, "ANTHROPIC_BASE_URL", "HTTPS_PROXY"} & other.keys()


def test_no_process_gets_variables_of_other_programs() -> None:
    for build in (api_environment, worker_environment, gateway_environment):
        assert not {"AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN"} & build(ENVIRON, {}).keys()


def test_only_the_worker_learns_of_the_cluster() -> None:
    cluster = {"KUBECONFIG": "/home/somebody/.kube/config", "CATTERY_K8S_IMAGE_TAG": "1"}
    environ = {**ENVIRON, **cluster}
    assert cluster.items() <= worker_environment(environ, {}).items()
    for build in (api_environment, gateway_environment):
        assert not cluster.keys() & build(environ, {}).keys()


def test_only_the_api_gets_the_secret_that_signs_tokens(wiring: Wiring) -> None:
    assert api_part(wiring, ENVIRON).env["CATTERY_JWT_SECRET"] == "j" * 40
    assert "CATTERY_JWT_SECRET" not in worker_part(wiring, ENVIRON, 1).env
    assert "CATTERY_JWT_SECRET" not in gateway_part(wiring, ENVIRON).env


def test_a_secret_is_made_and_kept_where_the_environment_names_none(wiring: Wiring) -> None:
    made = api_part(wiring, {"PATH": "/bin"}).env["CATTERY_JWT_SECRET"]
    assert len(made) == 64
    assert api_part(wiring, {"PATH": "/bin"}).env["CATTERY_JWT_SECRET"] == made


def test_what_we_decide_wins_over_the_environment(wiring: Wiring) -> None:
    environ = {**ENVIRON, "CATTERY_GATEWAY_URL": "http://elsewhere", "CATTERY_HOME": "/elsewhere"}
    worker = worker_part(wiring, environ, 2).env
    assert worker == {
        "PATH": "/bin",
        "HOME": "/home/somebody",
        "LANG": "C.UTF-8",
        "CATTERY_LOG_LEVEL": "DEBUG",
        "CATTERY_LOG_FORMAT": "json",
        "CATTERY_WORKER_TURNS": "7",
        "CATTERY_WORKER_METRICS_ADDRESS": "127.0.0.1:9465",
        "CATTERY_HOME": str(wiring.home.folder),
        "CATTERY_TOOLS": str(wiring.tools),
        "CATTERY_GATEWAY_URL": "http://127.0.0.1:4",
        "CATTERY_WORKER_READY_FILE": str(wiring.home.run_folder / "worker-2.ready"),
        "CATTERY_WORKER_GRACEFUL_SHUTDOWN": "PT3S",
        "DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d",
        "TEMPORAL_ADDRESS": "127.0.0.1:2",
        "TEMPORAL_NAMESPACE": "default",
        "PYTHONUNBUFFERED": "1",
    }


def test_the_api_learns_where_things_are_and_that_the_demo_model_answers(wiring: Wiring) -> None:
    env = api_part(wiring, {}).env
    assert env["CATTERY_PORT"] == "8123"
    assert env["CATTERY_DEMO_MODEL"] == "1"
    assert env["CATTERY_TEMPORAL_UI_URL"] == "http://127.0.0.1:3"
    assert env["CATTERY_WEB_DIST"] == str(wiring.settings.web_dist)


def test_each_worker_serves_its_metrics_at_a_port_of_its_own(wiring: Wiring) -> None:
    name = "CATTERY_WORKER_METRICS_ADDRESS"
    addresses = [worker_part(wiring, ENVIRON, number).env[name] for number in (1, 2, 3)]
    assert addresses == ["127.0.0.1:9464", "127.0.0.1:9465", "127.0.0.1:9466"]
    assert name not in worker_part(wiring, {}, 1).env
    assert worker_part(wiring, {name: "nonsense"}, 2).env[name] == "nonsense"
