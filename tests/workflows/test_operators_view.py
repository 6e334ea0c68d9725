"""What an operator sees of every workflow in Temporal's UI: whose it is, what it waits for."""

import re
from datetime import datetime, timedelta

from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowExecutionDescription

from cattery.db import deletions, sessions
from cattery.db.deletions import Asker
from cattery.temporal import messages, naming
from cattery.temporal.search_attributes import HARNESS, PHASE, PROJECT, SESSION, USER
from tests.workflows.file_managers import cluster_on
from tests.workflows.parts import Platform, wait_until_open
from workers.process import ALL_WORKFLOWS

OWN = {
    messages.SESSION: SESSION,
    messages.HARNESS_SANDBOX: HARNESS,
    messages.HARNESS_DELETION: HARNESS,
    messages.SESSION_DELETION: SESSION,
    messages.PROJECT_TEARDOWN: PROJECT,
    messages.USER_DELETION: USER,
    messages.FILE_MANAGER: PROJECT,
    messages.LOG_CAPTURE: HARNESS,
}
"""The search attribute that names what a workflow of each type is about."""
AT_ONCE_DONE = {messages.SWEEP, messages.LOG_CAPTURE}
"""Workflows of a moment, without phases. A sweep is about nothing in particular."""
MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}")


async def test_every_workflow_says_whose_it_is_and_what_it_waits_for_since_when(
    bare_platform: Platform,
) -> None:
    platform = bare_platform
    async with cluster_on(platform) as cluster:
        user = await platform.make_user()
        root = await platform.make_user("root", is_admin=True)
        project = await platform.make_project(user)
        harness = await platform.make_harness(project, user)
        kept, dropped = [await platform.make_session(project, harness, user) for _ in range(2)]
        for session in (kept, dropped):
            await wait_until_open(platform, session)
        await platform.prompt(kept, user, "deltas=3")
        await platform.wait_for_idles(kept, 1)
        await cluster.access.workspace_files(project).make_folder("", "docs")
        await cluster.access.read_log(harness)
        async with platform.database.write() as rows:
            await sessions.tombstone_session(rows, project, dropped)
        await platform.lifecycles.delete_session(dropped)
        sweep = f"sweep-for-{project}"
        await platform.client.execute_workflow(
            messages.SWEEP,
            id=sweep,
            task_queue=naming.ORCHESTRATION_QUEUE,
            static_summary="compare rows with what runs",
        )
        ids = {
            naming.session_workflow(kept): kept,
            naming.harness_workflow(harness): harness,
            naming.file_manager_workflow(project): project,
            naming.log_capture_workflow(harness): harness,
            naming.session_deletion_workflow(dropped): dropped,
            sweep: None,
        }
        seen = {one: await look_at(platform.client, one, about) for one, about in ids.items()}
        async with platform.database.write() as rows:
            await deletions.delete_user(rows, Asker(root, "root"), user, grace=timedelta(0))
        await platform.lifecycles.delete_user(user)
        deletion = naming.user_deletion_workflow(user)
        await platform.client.get_workflow_handle(deletion).result()
        for workflow_id, about in (
            (deletion, user),
            (naming.project_teardown_workflow(project), project),
            (naming.harness_deletion_workflow(harness), harness),
        ):
            seen[workflow_id] = await look_at(platform.client, workflow_id, about)
    assert set(seen.values()) == {messages_of(each) for each in ALL_WORKFLOWS}


async def look_at(client: Client, workflow_id: str, about: object) -> str:
    """Check one workflow; returns its type."""
    handle = client.get_workflow_handle(workflow_id)
    described: WorkflowExecutionDescription = await handle.describe()
    kind = described.workflow_type
    assert await described.static_summary(), f"{workflow_id} has no summary"
    attributes = described.typed_search_attributes
    if about is not None:
        assert attributes[OWN[kind]] == str(about), workflow_id
    if kind not in AT_ONCE_DONE:
        assert attributes.get(PHASE), f"{workflow_id} has no phase"
    metadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    details = metadata.current_details
    assert "**" in details, f"{workflow_id}: {details!r}"
    assert "since" in details, f"{workflow_id}: {details!r}"
    moment = MOMENT.search(details)
    assert moment, f"{workflow_id}: {details!r}"
    assert datetime.fromisoformat(moment[0])
    return kind


def messages_of(definition: type) -> str:
    name: str = vars(definition)["__temporal_workflow_definition"].name
    return name
