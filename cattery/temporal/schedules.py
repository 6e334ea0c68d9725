"""Schedules and search attributes, made or brought up to date whenever a worker starts."""

from collections.abc import Mapping
from datetime import timedelta

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from cattery.temporal.messages import SWEEP
from cattery.temporal.naming import ORCHESTRATION_QUEUE, SWEEP_SCHEDULE
from cattery.temporal.search_attributes import SEARCH_ATTRIBUTES

SWEEP_INTERVAL = timedelta(seconds=15)


async def ensure_search_attributes(client: Client) -> None:
    """Register the custom search attributes that the namespace lacks. Safe to repeat."""
    for name in SEARCH_ATTRIBUTES:
        request = AddSearchAttributesRequest(namespace=client.namespace)
        request.search_attributes[name] = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        try:
            await client.operator_service.add_search_attributes(request)
        except RPCError as error:
            if error.status is not RPCStatusCode.ALREADY_EXISTS:
                raise


async def ensure_schedules(client: Client) -> None:
    """Make the schedules, or bring them up to date. Safe to repeat."""
    for schedule_id, schedule in list_schedules().items():
        await put_schedule(client, schedule_id, schedule)


def list_schedules() -> Mapping[str, Schedule]:
    """Return every schedule by its id."""
    return {
        SWEEP_SCHEDULE: create_schedule(
            SWEEP,
            task_queue=ORCHESTRATION_QUEUE,
            summary="compare rows with what runs",
            every=SWEEP_INTERVAL,
            catch_up=timedelta(minutes=1),
            timeout=timedelta(minutes=2),
        )
    }


def create_schedule(
    workflow: str,
    *,
    task_queue: str,
    summary: str,
    every: timedelta,
    catch_up: timedelta,
    timeout: timedelta,
) -> Schedule:
    """Describe a workflow that is started again and again, one at a time.

    Args:
        workflow: its type, which begins its ids too.
        task_queue: where its workers are.
        summary: what the UI shows of each run.
        every: from one start to the next.
        catch_up: for how long after its time a start is still made, where the server was away.
        timeout: of one run.
    """
    return Schedule(
        action=ScheduleActionStartWorkflow(
            workflow,
            id=workflow,
            task_queue=task_queue,
            execution_timeout=timeout,
            static_summary=summary,
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=catch_up),
    )


async def put_schedule(client: Client, schedule_id: str, schedule: Schedule) -> bool:
    """Make a schedule, or bring the one that is there up to date; true where it was made."""
    try:
        await client.create_schedule(schedule_id, schedule)
    except ScheduleAlreadyRunningError:

        def update(_: ScheduleUpdateInput) -> ScheduleUpdate:
            return ScheduleUpdate(schedule=schedule)

        await client.get_schedule_handle(schedule_id).update(update)
        return False
    return True
