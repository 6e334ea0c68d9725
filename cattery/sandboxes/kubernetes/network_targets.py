"""What a sandbox is made to try: what the network policies promise to be closed, and the gateway.

What is not known is left out, and said: a check of an address that leads nowhere proves nothing.
That something closed is really there matters most for another sandbox, which is made for it.
"""

import asyncio
import os
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cattery.network_probe import Hope, Outcome, Result, Target, TargetKind
from cattery.sandboxes.kubernetes.manifests import HARNESS_PORT
from cattery.sandboxes.kubernetes.network_finding import GATEWAY, LATE, NEIGHBOUR, NetworkCheck

METADATA: Final = "the cloud's metadata address"
API_SERVER: Final = "the cluster's API"
API_SERVER_OUTSIDE: Final = "the cluster's API, by its address outside"
INTERNET: Final = "the Internet"
DNS_UDP: Final = "DNS over UDP"
DNS_TCP: Final = "DNS over TCP"

METADATA_ADDRESS: Final = ("169.254.169.254", 80)
PUBLIC_ADDRESS: Final = ("1.1.1.1", 443)
API_IN_PODS: Final = ("$(KUBERNETES_SERVICE_HOST)", "$(KUBERNETES_SERVICE_PORT)")
"""Every container is told where the API is; the kubelet puts it into a container's arguments."""
_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_DNS_PORT: Final = 53
_OUTCOMES: Final = {Outcome.REFUSED: "refused", Outcome.UNREACHABLE: "no way leads there"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of the cluster from here.

    Attributes:
        inside: whether this process runs in the cluster.
        gateway_url: as sandboxes use it; `None` where it is not known here.
        dns: the address that the cluster's names are asked at.
        api_server: host and port of the API from outside.
    """

    inside: bool
    gateway_url: str | None
    dns: str | None = None
    api_server: tuple[str, int] | None = None


async def look_around(gateway_url: str | None, server: str) -> Surroundings:
    """Find out what is known here. `server` is the URL at which this process reaches the API."""
    inside = bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
    if not inside:
        return Surroundings(inside, gateway_url, api_server=await _find_outside(server))
    text = await asyncio.to_thread(_RESOLV_CONF.read_text)
    return Surroundings(inside, gateway_url, dns=find_nameserver(text))


def find_nameserver(resolv_conf: str) -> str | None:
    """Return the first name server of a resolv.conf."""
    lines = (line.split() for line in resolv_conf.splitlines())
    return next((words[1] for words in lines if words[:1] == ["nameserver"] and words[1:]), None)


def list_targets(known: Surroundings, neighbour: str) -> list[Target]:
    """List what a probe tries. `neighbour` is the address of another probe, which listens."""
    tcp, closed = TargetKind.TCP, Hope.CLOSED
    targets = [
        Target(METADATA, tcp, *METADATA_ADDRESS, hope=closed),
        Target(API_SERVER, tcp, *API_IN_PODS, hope=closed),
        Target(NEIGHBOUR, tcp, neighbour, HARNESS_PORT, hope=closed),
        Target(INTERNET, tcp, *PUBLIC_ADDRESS, hope=closed),
    ]
    if known.api_server is not None:
        targets.append(Target(API_SERVER_OUTSIDE, tcp, *known.api_server, hope=closed))
    if known.dns is not None:
        targets.append(Target(DNS_UDP, TargetKind.UDP_DNS, known.dns, _DNS_PORT, hope=closed))
        targets.append(Target(DNS_TCP, tcp, known.dns, _DNS_PORT, hope=closed))
    if known.gateway_url is not None:
        targets.append(_target_gateway(known.gateway_url))
    return targets


def judge(known: Surroundings, results: list[Result]) -> list[NetworkCheck]:
    """Compare what came of it with what should."""
    checks = [_judge(result) for result in results]
    if known.dns is None:
        why = "where the cluster's DNS is, is only known inside of it"
        checks.append(NetworkCheck("DNS", "port 53", Hope.CLOSED, None, why))
    if known.gateway_url is None:
        why = "its address is not known here: set CATTERY_GATEWAY_URL as the worker has it"
        checks.append(NetworkCheck(GATEWAY, "unknown", Hope.OPEN, None, why))
    return checks


def _judge(result: Result) -> NetworkCheck:
    wanted = Hope.OPEN if result.name == GATEWAY else Hope.CLOSED
    seen = Hope.OPEN if result.outcome is Outcome.OPEN else Hope.CLOSED
    late = wanted is seen is Hope.CLOSED and result.tries > 1
    words = _OUTCOMES.get(result.outcome, result.detail)
    detail = f"{words}; {LATE}" if late else words
    host = f"[{result.host}]" if ":" in result.host else result.host
    return NetworkCheck(result.name, f"{host}:{result.port}", wanted, seen, detail)


def _target_gateway(url: str) -> Target:
    parts = urlsplit(url)
    is_plain = parts.scheme == "http"
    kind = TargetKind.HTTP if is_plain else TargetKind.TCP
    port = parts.port or (80 if is_plain else 443)
    return Target(GATEWAY, kind, parts.hostname or "", port, ask="/healthz", hope=Hope.OPEN)


async def _find_outside(server: str) -> tuple[str, int] | None:
    """Return where the API is for pods too; `None` where its address is this machine's own."""
    parts = urlsplit(server)
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(parts.hostname, None, type=socket.SOCK_STREAM)
    except OSError:
        return None
    address = str(found[0][4][0])
    return None if ip_address(address).is_loopback else (address, parts.port or 443)
