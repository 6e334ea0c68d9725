"""What people write and what guards their things never stands in a history."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.api.failure.v1 import Failure
from temporalio.client import Client, WorkflowFailureError

from cattery.db import projects
from cattery.db.states import HarnessStatus
from cattery.db.tables import HarnessRow
from cattery.events.model import Answer, EventType
from cattery.harnesses.port import LaunchInput
from cattery.temporal import naming
from cattery.temporal.client import DATA_CONVERTER
from tests.workflows import histories
from tests.workflows.histories import find_faults, plant, read_histories
from tests.workflows.parts import (
    Platform,
    launching,
    platform_on,
    worker_on,
)

IN_ENV = "canary-in-the-environment"
IN_PROMPT = "canary-in-the-prompt"
IN_ANSWER = "canary-in-the-notes"
SAID = "word1"
"""What the scripted harness answers."""


async def test_no_history_has_prompts_answers_tokens_or_variables(platform: Platform) -> None:
    user = await platform.make_user()
    project = await platform.make_project(user)
    harness = await platform.make_harness(project, user, env={"LICENCE": IN_ENV})
    session = await platform.make_session(project, harness, user)
    await platform.prompt(session, user, f"ask deltas=20 tools=1 {IN_PROMPT}")
    (asked,) = await platform.wait_for_events(session, EventType.QUESTION_ASKED)
    answers = [Answer("Which colour should I use?", ("Blue",), IN_ANSWER)]
    await platform.lifecycles.answer_question(session, str(asked.data["partId"]), answers)
    await platform.wait_for_idles(session, 1)
    await platform.prompt(session, user, f"fail {IN_PROMPT}")
    await platform.prompt(session, user, f"die-after=3 {IN_PROMPT}")
    await platform.wait_for_idles(session, 3)
    await platform.prompt(session, user, f"deltas=1000 rate=20 {IN_PROMPT}")
    await platform.wait_for_events(session, EventType.MESSAGE_DELTA, 30)
    await platform.lifecycles.abort_turn(session, "ada")
    await platform.wait_for_idles(session, 4)
    async with platform.database.read() as rows:
        row = await rows.get(HarnessRow, harness)
    assert row
    assert row.endpoint_password
    async with platform.database.write() as rows:
        await projects.tombstone_project(rows, project)
    await platform.lifecycles.delete_project(project)
    teardown = platform.client.get_workflow_handle(naming.project_teardown_workflow(project))
    await teardown.result()

    written = await written_by_id(platform.client)
    assert written[naming.session_workflow(session)]
    assert written[naming.harness_workflow(harness)]
    assert written[naming.harness_deletion_workflow(harness)]
    for canary in (IN_ENV, IN_PROMPT, IN_ANSWER, SAID, "Which colour", "ctk_"):
        found_in = [name for name, text in written.items() if canary in text]
        assert not found_in, canary
    assert not [name for name, text in written.items() if row.endpoint_password in text]


async def test_what_a_harness_prints_as_it_fails_stays_out_of_histories(
    chatty: Platform,
) -> None:
    platform = chatty
    user = await platform.make_user()
    project = await platform.make_project(user)
    harness = await platform.make_harness(project, user, env={"LICENCE": IN_ENV})
    session = await platform.make_session(project, harness, user)
    row = await platform.wait_for_harness(harness, user, HarnessStatus.FAILED)
    assert row.failure
    assert IN_ENV in row.failure, "the owner of the harness is told"
    with pytest.raises(WorkflowFailureError) as failed:
        await platform.client.get_workflow_handle(naming.session_workflow(session)).result()
    assert "did not start" in str(failed.value.cause)

    written = await written_by_id(platform.client)
    assert "did not start" in written[naming.harness_workflow(harness)]
    assert not [name for name, text in written.items() if IN_ENV in text]


async def test_the_words_of_foreign_errors_stay_out_of_failures() -> None:
    failure = Failure()
    try:
        try:
            raise KeyError(IN_PROMPT)
        except KeyError as error:
            raise ValueError(f"Failing row contains ({IN_PROMPT})") from error
    except ValueError as error:
        await DATA_CONVERTER.encode_failure(error, failure)
    assert IN_PROMPT not in str(failure)
    assert "ValueError" in failure.message
    assert "KeyError" in failure.cause.message


@pytest.fixture
async def chatty(temporal: Client, database_url: str, tmp_path: Path) -> AsyncIterator[Platform]:
    """A platform whose harnesses print their environment and end."""

    def argv(_: LaunchInput) -> tuple[str, ...]:
        return (sys.executable, "-c", "import os, sys; print(os.environ); sys.exit(3)")

    async with (
        platform_on(temporal, database_url, tmp_path / "home", launching(argv)) as made,
        worker_on(made),
    ):
        yield made


async def written_by_id(client: Client) -> dict[str, str]:
    """Every history of the namespace, all runs of a workflow together."""
    found: dict[str, str] = {}
    async for one in read_histories(client):
        found[one.workflow_id] = found.get(one.workflow_id, "") + one.text
    return found


async def test_a_secret_or_a_long_history_is_seen_at_the_end_of_a_run(
    temporal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look at all histories of a run, on one that has what it must not have."""
    monkeypatch.setattr(histories, "_planted", set())
    queue = "nobody-polls-here"
    await temporal.start_workflow("gossip", "a planted canary", id="gossip", task_queue=queue)
    handle = temporal.get_workflow_handle("gossip")
    try:
        assert not [fault for fault in await find_faults(temporal) if "gossip" in fault]
        plant("a planted canary", "short")
        assert "gossip has 'a planted canary'" in await find_faults(temporal)
        monkeypatch.setattr(histories, "MAX_EVENTS", 1)
        assert [fault for fault in await find_faults(temporal) if "gossip has 2 events" in fault]
    finally:
        await handle.terminate()
