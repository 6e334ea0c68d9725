"""What commands ask of a Temporal server, embedded or external: is it there, is it set up?"""

from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from cattery.settings import TemporalSettings
from cattery.temporal.client import connect
from cattery.temporal.schedules import ensure_search_attributes
from cattery.temporal.search_attributes import SEARCH_ATTRIBUTES
from cli.errors import CommandError


async def server_answers(address: str, namespace: str) -> bool:
    """Tell whether a server at an address knows the namespace."""
    try:
        await _connect(TemporalSettings(address=address, namespace=namespace))
    except (RPCError, RuntimeError):
        return False
    return True


async def register_search_attributes(settings: TemporalSettings) -> None:
    """Make the search attributes that the namespace lacks; safe to repeat.

    Raises:
        CommandError: the server cannot be reached, or lacks the namespace.
    """
    client = await _require_server(settings)
    if await _missing(client, settings.namespace):
        await ensure_search_attributes(client)


async def missing_search_attributes(settings: TemporalSettings) -> list[str]:
    """Name the search attributes that the namespace lacks.

    Raises:
        CommandError: the server cannot be reached, or lacks the namespace.
    """
    return await _missing(await _require_server(settings), settings.namespace)


async def _require_server(settings: TemporalSettings) -> Client:
    try:
        return await _connect(settings)
    except (RPCError, RuntimeError) as error:
        if isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND:
            raise CommandError(
                f"The Temporal server at {settings.address} has no namespace "
                f"{settings.namespace}. Make it (`temporal operator namespace create "
                f"-n {settings.namespace}`), or name another in TEMPORAL_NAMESPACE."
            ) from error
        raise CommandError(
            f"No Temporal server answers at {settings.address}. Start it, or correct "
            "TEMPORAL_ADDRESS; without that variable `cattery up` runs one of its own."
        ) from error


async def _connect(settings: TemporalSettings) -> Client:
    client = await connect(settings)
    await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=settings.namespace)
    )
    return client


async def _missing(client: Client, namespace: str) -> list[str]:
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=namespace)
    )
    return sorted(name for name in SEARCH_ATTRIBUTES if name not in listed.custom_attributes)
