"""Connects to Temporal, the one way for every process, so that all read the same payloads."""

from dataclasses import replace

from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from cattery.settings import TemporalSettings
from cattery.temporal.failures import DiscreetFailureConverter

DATA_CONVERTER = replace(pydantic_data_converter, failure_converter_class=DiscreetFailureConverter)
"""Payloads are pydantic models that carry ids only: no prompts, no secrets, no event bodies."""


async def connect(
    settings: TemporalSettings, *, lazy: bool = False, runtime: Runtime | None = None
) -> Client:
    """Connect to the server; raises `RuntimeError` where it cannot be reached.

    With `lazy` the first call connects, so that a process can start, and say what is missing,
    while the server is away. Metrics go to `runtime`; nowhere without it.
    """
    return await Client.connect(
        settings.address,
        namespace=settings.namespace,
        data_converter=DATA_CONVERTER,
        lazy=lazy,
        runtime=runtime,
    )


async def is_open(client: Client, workflow_id: str) -> bool:
    """Tell whether a workflow is under way."""
    try:
        described = await client.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if is_unknown_workflow(error):
            return False
        raise
    return described.close_time is None


def is_unknown_workflow(error: RPCError) -> bool:
    """Tell whether the server knows for certain that there is no such workflow, or none open.

    NOT_FOUND alone does not say so: a server that cannot read its own database in time answers
    that there is no such *namespace*, with the same status (temporal 1.32,
    `nsregistry.getNamespaceByNamePersistence`). Who took that for a workflow's end would lose it.
    """
    if error.status is not RPCStatusCode.NOT_FOUND:
        return False
    return not any(
        each.Is(NamespaceNotFoundFailure.DESCRIPTOR) for each in error.grpc_status.details
    )
