"""Workflows that run are taken over by the code as it is now: recorded histories replay through it.

Where one of these fails, a change of a workflow breaks every workflow of that kind that is open
while a site is upgraded. Guard the change with `workflow.patched`, or, where no release has the
old code, record the histories again: `python tests/record_histories.py`.
"""

import re
import socket
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from cattery.temporal.client import DATA_CONVERTER
from tests.replay.reach import list_commands, list_reached
from workers.process import ALL_WORKFLOWS

HISTORIES = sorted(Path(__file__).with_name("histories").glob("*.json"))
MAX_BYTES = 2_000_000


def history_of(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text())


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path) -> None:
    replayer = Replayer(workflows=list(ALL_WORKFLOWS), data_converter=DATA_CONVERTER)
    await replayer.replay_workflow(history_of(path))


def test_every_workflow_has_a_history() -> None:
    types = {_type_of(path) for path in HISTORIES}
    assert types == {_name_of(each) for each in ALL_WORKFLOWS}
    assert all(path.stem.startswith(f"{_type_of(path)}.") for path in HISTORIES)


async def test_every_command_of_every_workflow_is_reached_by_a_history() -> None:
    reached = await list_reached(history_of(path) for path in HISTORIES)
    missing = sorted(list_commands().keys() - reached)
    assert not missing, (
        "No recorded history comes to these. Tell a story for each in tests/record_histories.py, "
        "then: make histories STORIES=its_name"
    )


def test_the_histories_are_small_and_name_no_machine() -> None:
    texts = {path.name: path.read_text() for path in HISTORIES}
    assert sum(map(len, texts.values())) < MAX_BYTES
    for name, text in texts.items():
        assert "identity" not in text, name
        assert socket.gethostname() not in text, name
        assert not re.search(r"/(home|root|tmp|work|usr)/", text), name


def _type_of(path: Path) -> str:
    started = history_of(path).events[0].workflow_execution_started_event_attributes
    return started.workflow_type.name


def _name_of(definition: type) -> str | None:
    return workflow._Definition.must_from_class(definition).name
