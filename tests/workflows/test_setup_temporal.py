"""The one command that prepares a namespace, on a real server: again and again with one outcome."""

import asyncio
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from cattery.temporal.client import is_open
from cattery.temporal.search_attributes import SEARCH_ATTRIBUTES
from cli.embedded_temporal import server_options
from cli.temporal_setup import read_setup
from tests.workflows.conftest import TEMPORAL

NAMESPACE = "cats"


async def set_up(client: Client, tmp_path: Path, *options: str) -> str:
    """Run the real command; returns what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "cli.main", "setup-temporal", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            "PATH": os.environ["PATH"],
            "TEMPORAL_ADDRESS": client.service_client.config.target_host,
            "TEMPORAL_NAMESPACE": NAMESPACE,
            "CATTERY_HOME": str(tmp_path),
        },
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_a_namespace_is_made_and_brought_up_to_date(temporal: Client, tmp_path: Path) -> None:
    made = await set_up(temporal, tmp_path)
    assert f"{NAMESPACE}: made, keeps what has ended for 7 days" in made
    assert made.count(": made") == 1 + len(SEARCH_ATTRIBUTES) + len(read_setup().schedules)
    again = await set_up(temporal, tmp_path)
    assert ": made" not in again
    assert again.count("up to date") == made.count(": made")

    other = await Client.connect(temporal.service_client.config.target_host, namespace=NAMESPACE)
    described = await other.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=NAMESPACE)
    )
    kept = described.config.workflow_execution_retention_ttl.ToTimedelta()
    assert kept == read_setup().retention
    listed = await other.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=NAMESPACE)
    )
    assert set(SEARCH_ATTRIBUTES) <= set(listed.custom_attributes)
    schedule = await other.get_schedule_handle("sweep").describe()
    await other.get_schedule_handle("sweep").delete()
    assert schedule.schedule.spec.intervals[0].every == read_setup().schedules["sweep"].every

    file = tmp_path / "mine.toml"
    given = (Path(__file__).parents[2] / "temporal" / "setup.toml").read_text()
    file.write_text(given.replace('retention = "7d"', 'retention = "30d"'))
    changed = await set_up(temporal, tmp_path, "--file", str(file))
    assert "keeps for 30 days now, not 7 days" in changed
    await other.get_schedule_handle("sweep").delete()


async def test_a_server_that_does_not_find_the_namespace_says_nothing_of_a_workflow(
    temporal: Client,
) -> None:
    target = temporal.service_client.config.target_host
    stray = await Client.connect(target, namespace="never-made")
    assert not await is_open(temporal, "never-begun")
    with pytest.raises(RPCError, match="never-made is not found"):
        await is_open(stray, "never-begun")


async def test_an_older_database_file_is_taken_over_to_writing_ahead(tmp_path: Path) -> None:
    file = tmp_path / "temporal.db"
    old = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(TEMPORAL), dev_server_database_filename=str(file)
    )
    await old.client.start_workflow("never-run", id="kept", task_queue="nobody-polls")
    await old.shutdown()
    assert _journal_of(file) == "delete"
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(TEMPORAL),
        dev_server_database_filename=str(file),
        dev_server_extra_args=server_options(),
    ) as new:
        assert await is_open(new.client, "kept")
    assert _journal_of(file) == "wal"


def _journal_of(file: Path) -> str:
    with closing(sqlite3.connect(file)) as database:
        return str(database.execute("PRAGMA journal_mode").fetchone()[0])
