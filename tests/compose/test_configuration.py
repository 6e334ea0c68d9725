"""What `docker compose config` makes of compose.yaml, for every choice that a site has."""

import json
import re
from pathlib import Path

import pytest

from cattery.jsontypes import JsonObject
from tests.compose.engine import Engine, fill_example, run

ROOT = Path(__file__).parents[2]
EVERYWHERE = {"api", "migrate", "postgres", "temporal-setup"}
RUNTIMES = {
    "local": {"gateway", "worker"},
    "kubernetes": {"gateway-kubernetes", "worker-kubernetes"},
}
TEMPORALS = {
    "temporal-dev": {"temporal-dev", "temporal-volume"},
    "temporal-postgres": {"temporal-schema", "temporal-server", "temporal-ui"},
}
ONCE = {"migrate", "temporal-schema", "temporal-setup", "temporal-volume"}
"""Services that do a thing and end."""
_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z0-9_]+)")


def configure(engine: Engine, folder: Path, **settings: str) -> dict[str, JsonObject]:
    """Return the services of compose.yaml with other settings than those of the example."""
    file = folder / "settings"
    file.write_text(fill_example(ROOT, {"CATTERY_SECRETS": str(folder), **settings}))
    command = ["docker", "compose", "--env-file", str(file), "config", "--format", "json"]
    services: dict[str, JsonObject] = json.loads(run(command, engine.environ, cwd=ROOT))["services"]
    return services


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("temporal", TEMPORALS)
def test_a_site_runs_what_it_chose_and_nothing_else(
    engine: Engine, tmp_path: Path, runtime: str, temporal: str
) -> None:
    services = configure(engine, tmp_path, CATTERY_RUNTIME=runtime, CATTERY_TEMPORAL=temporal)
    assert set(services) == EVERYWHERE | RUNTIMES[runtime] | TEMPORALS[temporal]
    for name, service in services.items():
        is_stateless_helper = name in ONCE or name == "temporal-ui"
        assert is_stateless_helper or "healthcheck" in service, name
        expected = "on-failure:5" if name in ONCE else "unless-stopped"
        assert service["restart"] == expected, name
        if name != "postgres":
            assert service["cap_drop"] == ["ALL"], name
            assert "no-new-privileges:true" in service["security_opt"], name  # type: ignore[operator]
        for port in service.get("ports", []):  # type: ignore[union-attr]
            assert port["host_ip"] == "127.0.0.1", name  # type: ignore[index, call-overload]


def test_only_the_worker_of_local_sandboxes_may_do_more_than_docker_allows(
    engine: Engine, tmp_path: Path
) -> None:
    services = configure(engine, tmp_path)
    weaker = {
        name
        for name, service in services.items()
        if service.get("security_opt", []) not in ([], ["no-new-privileges:true"])
    }
    assert weaker == {"worker"}
    assert not any(service.get("privileged") for service in services.values())
    added = {name: service["cap_add"] for name, service in services.items() if "cap_add" in service}
    assert added == {"temporal-volume": ["CHOWN"]}


def test_each_secret_goes_to_those_alone_who_need_it(engine: Engine, tmp_path: Path) -> None:
    readers: dict[str, set[str]] = {}
    for runtime in RUNTIMES:
        for name, service in configure(engine, tmp_path, CATTERY_RUNTIME=runtime).items():
            for secret in service.get("secrets", []):  # type: ignore[union-attr]
                readers.setdefault(str(secret["source"]), set()).add(name)  # type: ignore[index, call-overload]
    gateways = {"gateway", "gateway-kubernetes"}
    assert readers == {
        "database-password": {
            *("api", "migrate", "postgres", "worker", "worker-kubernetes"),
            *gateways,
        },
        "jwt-secret": {"api"},
        "admin-password": {"migrate"},
        "anthropic-api-key": gateways,
        "openai-api-key": gateways,
        "kubeconfig": {"worker-kubernetes"},
    }


def test_every_image_can_be_replaced(engine: Engine, tmp_path: Path) -> None:
    names = ("POSTGRES_IMAGE", "TEMPORAL_IMAGE", "TEMPORAL_SERVER_IMAGE", "TEMPORAL_UI_IMAGE")
    others = (*names, "TEMPORAL_ADMIN_TOOLS_IMAGE")
    settings = {name: f"mirror.example/{name.lower()}:1" for name in others}
    settings |= {"CATTERY_REGISTRY": "mirror.example/cattery/", "CATTERY_TAG": "1.2.3"}
    images = set()
    for temporal in TEMPORALS:
        found = configure(engine, tmp_path, CATTERY_TEMPORAL=temporal, **settings)
        images |= {str(service["image"]) for service in found.values()}
    assert images == {
        *(f"mirror.example/{name.lower()}:1" for name in others),
        "mirror.example/cattery/cattery-server:1.2.3",
        "mirror.example/cattery/cattery-server-local:1.2.3",
    }


def test_the_example_explains_every_variable_and_has_the_same_defaults() -> None:
    example = dict(re.findall(r"(?m)^([A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text()))
    text = (ROOT / "compose.yaml").read_text()
    used = set(_VARIABLE.findall(text))
    assert used | {"CATTERY_TEMPORAL", "COMPOSE_PROFILES"} == set(example)
    defaults = dict(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+):-([^}]*)\}", text))
    assert {name: example[name] for name in defaults} == defaults
