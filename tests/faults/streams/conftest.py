"""One installation for all of these tests, with two harnesses."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.streams.installation import Installation, open_installation
from tests.faults.streams.people import People, people_of


@pytest.fixture(scope="session")
async def people() -> AsyncIterator[People]:
    """People of an installation with two harnesses."""
    with tempfile.TemporaryDirectory(prefix="cattery-streams-") as folder:
        async with open_installation(Path(folder)) as made, people_of(made) as found:
            project = await found.ask("POST", "/projects", {"project_name": "streams"})
            for _ in range(2):
                await found.add_harness(str(project["project_id"]))
            yield found


@pytest.fixture
async def installation(people: People) -> AsyncIterator[Installation]:
    """The installation, every link whole at the beginning and at the end."""
    yield people.installation
    for link in people.installation.links.values():
        await link.heal()
    for node in (*people.installation.workers, *people.installation.apis):
        if node.is_stopped:
            node.start()
        node.thaw()
        await people.installation.wait_until_ready(node)


@pytest.fixture
def harness(people: People) -> str:
    """The first harness."""
    return people.installation.harness_ids[0]
