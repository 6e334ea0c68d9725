"""What all histories of a test run have in common: they are small, and hold nothing secret.

Whatever tests give in that must not travel through Temporal is planted here; when a run's server
ends, every history that it has is read through.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from temporalio.client import Client

MAX_EVENTS: Final = 2_000
MAX_BYTES: Final = 2 * 2**20
SHORTEST: Final = 6
"""Letters under which a planted text may stand in a history by chance."""

ALWAYS: Final = ("deltas=", "word1 ", "ctk_", "postgresql://", "Bearer ")
"""What prompts to the scripted harness and its answers have in them; how secrets of ours begin."""

_planted: set[str] = set()


@dataclass(frozen=True, slots=True)
class Written:
    """One run of a workflow, as text: its JSON, and its payloads in clear."""

    workflow_id: str
    events: int
    size: int
    text: str


def plant(*texts: str) -> None:
    """Remember what must not stand in any history."""
    _planted.update(text for text in texts if len(text) >= SHORTEST)


async def read_histories(client: Client) -> AsyncIterator[Written]:
    """Read every run of every workflow that the server still has."""
    async for execution in client.list_workflows():
        handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
        history = await handle.fetch_history()
        size = sum(event.ByteSize() for event in history.events)
        text = json.dumps(history.to_json_dict()) + " ".join(str(e) for e in history.events)
        yield Written(execution.id, len(history.events), size, text)


async def find_faults(client: Client) -> list[str]:
    """Say of every history that is too long, or holds what it must not, which it is."""
    faults = []
    async for one in read_histories(client):
        if one.events >= MAX_EVENTS or one.size >= MAX_BYTES:
            faults.append(f"{one.workflow_id} has {one.events} events, {one.size} bytes")
        faults += [
            f"{one.workflow_id} has {text!r}" for text in (*ALWAYS, *_planted) if text in one.text
        ]
    return faults
