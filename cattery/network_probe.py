"""What a network probe is asked to try and what it says came of it: the words of both ends.

The probe runs in a pod (`filemgr.probe`); whoever starts it compares with what policies promise
(`cattery.sandboxes.kubernetes.network`).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from cattery.errors import BadRequestError

RESULTS_MARK: Final = "cattery-probe-results "
"""What the line with the results begins with, in the log of a probe; JSON follows."""
RESULTS: Final = "/results"
"""Where a probe tells over HTTP what came of what it was started with."""
MAX_TARGETS: Final = 64


class TargetKind(StrEnum):
    """How a target is tried."""

    TCP = "tcp"
    UDP_DNS = "udp-dns"
    HTTP = "http"


class Hope(StrEnum):
    """What should come of a target. It is tried again while it does not come so."""

    OPEN = "open"
    CLOSED = "closed"
    ANYTHING = ""


class Outcome(StrEnum):
    """What came of it. Only `OPEN` means that something was reached."""

    OPEN = "open"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Target:
    """Something to try.

    Attributes:
        name: whatever tells the results apart.
        kind: how it is tried.
        host: an address, or a name that the pod knows.
        port: its port. Both may be references such as `$(KUBERNETES_SERVICE_PORT)`, which the
            kubelet replaces in the arguments of a container.
        ask: the path of an `http` target, the name that a `udp-dns` one asks for.
        hope: what should come of it.
    """

    name: str
    kind: TargetKind
    host: str
    port: int | str
    ask: str = ""
    hope: Hope = Hope.ANYTHING


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one target, at the last of its `tries`."""

    name: str
    kind: TargetKind
    host: str
    port: int
    outcome: Outcome
    detail: str
    milliseconds: int
    tries: int = 1


def write_targets(targets: Sequence[Target]) -> str:
    """Write targets as an argument of a probe."""
    return json.dumps([asdict(target) for target in targets], separators=(",", ":"))


def parse_targets(value: object) -> list[Target]:
    """Read the targets of a request.

    Raises:
        BadRequestError: they are none.
    """
    if not isinstance(value, list) or len(value) > MAX_TARGETS:
        raise BadRequestError(f"Give `targets` as a list of at most {MAX_TARGETS} objects.")
    try:
        return [
            Target(
                name=str(each["name"]),
                kind=TargetKind(each["kind"]),
                host=str(each["host"]),
                port=int(each["port"]),
                ask=str(each.get("ask", "")),
                hope=Hope(each.get("hope", "")),
            )
            for each in value
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadRequestError(
            "Each target has a name, a kind (tcp, udp-dns or http), a host and a port."
        ) from error


def parse_results(value: object) -> list[Result]:
    """Read what a probe says.

    Raises:
        ValueError: it is nothing that a probe says.
    """
    if not isinstance(value, list):
        raise ValueError("not a list")  # noqa: TRY004 - for the caller both are nonsense
    try:
        return [
            Result(
                name=str(each["name"]),
                kind=TargetKind(each["kind"]),
                host=str(each["host"]),
                port=int(each["port"]),
                outcome=Outcome(each["outcome"]),
                detail=str(each["detail"]),
                milliseconds=int(each["milliseconds"]),
                tries=int(each.get("tries", 1)),
            )
            for each in value
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error
