"""Brings a Temporal server to what `temporal/setup.toml` says; each step is safe to repeat."""

import asyncio
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

from google.protobuf.duration_pb2 import Duration
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    RegisterNamespaceRequest,
    UpdateNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from cattery.settings import TemporalSettings
from cattery.temporal.client import connect
from cattery.temporal.schedules import create_schedule, put_schedule
from cli.configuration import UpSettings, read_home, read_settings
from cli.console import Console
from cli.errors import CommandError
from cli.stores import locate_temporal

NAMESPACE_PATIENCE: Final = 60.0
"""Seconds in which a namespace that was made is known to all of its server: its caches' age."""
_PACKAGED = Path(__file__).with_name("temporal_setup.toml")
_IN_TREE = Path(__file__).parents[1] / "temporal" / "setup.toml"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _read_span(value: object) -> object:
    """Turn `15s`, `2m`, `1h` or `7d` into a span."""
    found = re.fullmatch(r"(\d+)([smhd])", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("it must be a number with s, m, h or d, such as 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


type _Span = Annotated[timedelta, BeforeValidator(_read_span)]


class ScheduleSetup(BaseModel):
    """A schedule as the file has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workflow: str
    task_queue: str
    summary: str
    every: _Span
    catch_up: _Span
    timeout: _Span


class TemporalSetup(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retention: _Span
    search_attributes: Mapping[str, str]
    schedules: Mapping[str, ScheduleSetup]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was brought to what the file says, or was so already."""

    what: str
    outcome: str


def run_setup_temporal(file: Path | None) -> None:
    """Bring the namespace of the settings to what a file says, and print what was done."""
    home, _ = read_home()
    settings = locate_temporal(read_settings(UpSettings), home)
    console = Console()
    for change in asyncio.run(_set_up(settings, read_setup(file))):
        console.row(change.what, change.outcome)
    console.say(f"The namespace {settings.namespace} is ready for Cattery.", tone="good")


def read_setup(file: Path | None = None) -> TemporalSetup:
    """Read a file, or the one that comes with Cattery.

    Raises:
        CommandError: it cannot be read, or says what it must not.
    """
    chosen = file or (_PACKAGED if _PACKAGED.exists() else _IN_TREE)
    try:
        return TemporalSetup.model_validate(tomllib.loads(chosen.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise CommandError(f"{chosen} cannot be read: {error}.") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ").removesuffix(".")
        raise CommandError(f"{chosen} is wrong at {where}: {reason}.") from error


async def apply_setup(client: Client, setup: TemporalSetup) -> list[Change]:
    """Bring the client's namespace to what is wanted, making it where there is none."""
    changes = [await _apply_namespace(client, setup.retention)]
    changes += await _apply_search_attributes(client, setup.search_attributes)
    for name, wanted in setup.schedules.items():
        schedule = create_schedule(
            wanted.workflow,
            task_queue=wanted.task_queue,
            summary=wanted.summary,
            every=wanted.every,
            catch_up=wanted.catch_up,
            timeout=wanted.timeout,
        )
        is_new = await put_schedule(client, name, schedule)
        changes.append(Change("schedule", f"{name}: {'made' if is_new else 'up to date'}"))
    return changes


async def keep_histories(settings: TemporalSettings) -> None:
    """Have the server of `cattery up` keep what has ended for as long as the file says."""
    await _apply_namespace(await connect(settings), read_setup().retention)


async def _set_up(settings: TemporalSettings, setup: TemporalSetup) -> list[Change]:
    try:
        return await apply_setup(await connect(settings), setup)
    except RPCError as error:
        raise CommandError(
            f"The Temporal server at {settings.address} refused: {error.message}."
        ) from error
    except RuntimeError as error:
        raise CommandError(
            f"No Temporal server answers at {settings.address}. Start it, or correct "
            "TEMPORAL_ADDRESS."
        ) from error


async def _apply_namespace(client: Client, retention: timedelta) -> Change:
    wanted = Duration()
    wanted.FromTimedelta(retention)
    name = client.namespace
    try:
        described = await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=name)
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        await client.workflow_service.register_namespace(
            RegisterNamespaceRequest(
                namespace=name, workflow_execution_retention_period=wanted, description="Cattery"
            )
        )
        await _wait_until_known(client)
        return Change("namespace", f"{name}: made, keeps what has ended for {_told(retention)}")
    kept = described.config.workflow_execution_retention_ttl.ToTimedelta()
    if kept == retention:
        return Change("namespace", f"{name}: up to date, keeps for {_told(retention)}")
    await client.workflow_service.update_namespace(
        UpdateNamespaceRequest(
            namespace=name, config=NamespaceConfig(workflow_execution_retention_ttl=wanted)
        )
    )
    return Change("namespace", f"{name}: keeps for {_told(retention)} now, not {_told(kept)}")


async def _wait_until_known(client: Client) -> None:
    """Wait until every part of the server has heard of a new namespace."""
    deadline = asyncio.get_running_loop().time() + NAMESPACE_PATIENCE
    while True:
        try:
            await _list_search_attributes(client)
            await client.count_workflows()
        except RPCError as error:
            is_late = asyncio.get_running_loop().time() > deadline
            if error.status is not RPCStatusCode.NOT_FOUND or is_late:
                raise
            await asyncio.sleep(0.5)
        else:
            return


async def _apply_search_attributes(client: Client, wanted: Mapping[str, str]) -> list[Change]:
    known = await _list_search_attributes(client)
    changes = []
    for name, kind in wanted.items():
        value = IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{kind.upper()}")
        outcome = "up to date"
        if name not in known:
            request = AddSearchAttributesRequest(namespace=client.namespace)
            request.search_attributes[name] = value
            await client.operator_service.add_search_attributes(request)
            outcome = "made"
        elif known[name] != value:
            raise CommandError(
                f"The search attribute {name} exists with another type than {kind}. Remove it "
                f"(`temporal operator search-attribute remove --name {name}`), then try again."
            )
        changes.append(Change("attribute", f"{name}: {outcome}"))
    return changes


async def _list_search_attributes(client: Client) -> Mapping[str, int]:
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    return dict(listed.custom_attributes)


def _told(span: timedelta) -> str:
    return f"{span.days} days" if span.days and not span.seconds else str(span)
