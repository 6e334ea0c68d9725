"""Schedules and search attributes, made or brought up to date whenever a worker starts."""

from datetime import timedelta

import structlog
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

log = structlog.get_logger(__name__)

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
    """Make the sweep's schedule, or bring it up to date. Safe to repeat."""
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            SWEEP,
            id="sweep",
            task_queue=ORCHESTRATION_QUEUE,
            execution_timeout=timedelta(minutes=2),
            static_summary="compare rows with what runs",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=SWEEP_INTERVAL)]),
        policy=SchedulePolicy(
            overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=1)
        ),
    )
    try:
        await client.create_schedule(SWEEP_SCHEDULE, schedule)
    except ScheduleAlreadyRunningError:

        def update(_: ScheduleUpdateInput) -> ScheduleUpdate:
            return ScheduleUpdate(schedule=schedule)

        await client.get_schedule_handle(SWEEP_SCHEDULE).update(update)
