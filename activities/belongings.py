"""Lists everything outside the database that belongs to a project, a harness or a user.

The one place that knows: a deletion ends only when this is empty, observed.
"""

from temporalio.client import Client

from cattery.deletion_states import DeletionKind
from cattery.ids import HarnessId, ProjectId
from cattery.sandboxes.port import SandboxRuntime
from cattery.temporal.messages import DeletionTarget


async def find_belongings(
    runtime: SandboxRuntime, client: Client, target: DeletionTarget
) -> list[str]:
    """Name what is there, in words; the rows are `cattery.db.purge.count_rows`'s to tell.

    Raises:
        SandboxError: the runtime does not answer, so that nobody knows.
    """
    found: list[str] = []
    match target.kind:
        case DeletionKind.HARNESS:
            found += await runtime.list_belongings(harness_id=HarnessId(target.object_id))
        case DeletionKind.PROJECT:
            found += await runtime.list_belongings(project_id=ProjectId(target.object_id))
        case DeletionKind.USER:
            pass  # what a user has outside the database are the projects
    async for schedule in await client.list_schedules():
        if str(target.object_id) in schedule.id:
            found.append(f"schedule {schedule.id}")
    return found
