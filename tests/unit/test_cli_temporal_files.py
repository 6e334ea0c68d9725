"""The files for operators say the same as the code."""

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from cattery.temporal.schedules import create_schedule, list_schedules
from cattery.temporal.search_attributes import SEARCH_ATTRIBUTES
from cli.embedded_temporal import DYNAMIC_CONFIG, server_options
from cli.errors import CommandError
from cli.temporal_setup import read_setup

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "temporal"


def test_the_setup_file_has_the_search_attributes_that_the_code_sets() -> None:
    assert dict(read_setup().search_attributes) == dict(SEARCH_ATTRIBUTES)


def test_the_setup_file_has_the_schedules_that_the_workers_make() -> None:
    written = {
        name: create_schedule(
            one.workflow,
            task_queue=one.task_queue,
            summary=one.summary,
            every=one.every,
            catch_up=one.catch_up,
            timeout=one.timeout,
        )
        for name, one in read_setup().schedules.items()
    }
    assert repr(written) == repr(dict(list_schedules()))


def test_the_setup_file_keeps_histories_for_a_week() -> None:
    assert read_setup().retention == timedelta(days=7)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("retention = 7", "is wrong at retention: it must be a number with s, m, h or d"),
        ("retention = '7d'", "is wrong at search_attributes: Field required"),
        ("retention", "cannot be read"),
    ],
)
def test_a_wrong_setup_file_is_refused_in_words(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "setup.toml"
    file.write_text(text)
    with pytest.raises(CommandError, match=said):
        read_setup(file)


def test_the_dynamic_configuration_is_that_of_the_embedded_server() -> None:
    document = yaml.safe_load((FOLDER / "dynamicconfig.yaml").read_text())
    values = {key: yaml.safe_dump(value[0]["value"]).split()[0] for key, value in document.items()}
    assert values == DYNAMIC_CONFIG


def test_the_dev_servers_of_compose_and_kind_have_the_embedded_ones_options() -> None:
    words = server_options()
    wanted = {f"{key}={value}" for key, value in zip(words[::2], words[1::2], strict=True)}
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert wanted <= set(compose["services"]["temporal-dev"]["command"])
    kind = yaml.safe_load_all((ROOT / "k8s/overlays/kind/temporal.yaml").read_text())
    pods = [each["spec"]["template"]["spec"] for each in kind if "template" in each.get("spec", {})]
    assert [wanted <= set(pod["containers"][0]["args"]) for pod in pods] == [True]
