"""The files for operators say the same as the code."""

import re
from pathlib import Path

import yaml

from cattery.temporal.search_attributes import SEARCH_ATTRIBUTES
from cli.embedded_temporal import DYNAMIC_CONFIG

FOLDER = Path(__file__).parents[2] / "temporal"


def test_the_setup_script_makes_the_search_attributes_that_the_code_sets() -> None:
    listed = re.findall(r"^  (Cattery\w+)=(\w+)$", (FOLDER / "setup.sh").read_text(), re.MULTILINE)
    assert dict(listed) == dict(SEARCH_ATTRIBUTES)


def test_the_dynamic_configuration_is_that_of_the_embedded_server() -> None:
    document = yaml.safe_load((FOLDER / "dynamicconfig.yaml").read_text())
    values = {key: yaml.safe_dump(value[0]["value"]).split()[0] for key, value in document.items()}
    assert values == DYNAMIC_CONFIG
