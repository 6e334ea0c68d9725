"""Who may talk to whom in the cluster: one model, from which the network policies are written.

`python -m cattery.sandboxes.kubernetes.policies` prints what k8s/base/network-policies.yaml holds;
with `--allow` it prints a site's own, in which sandboxes reach a few addresses more. Everything is
denied but the connections in `CONNECTIONS` and what `_more_ingress` and `_more_egress` add.

A policy is worth what the cluster's network makes of it: `cattery doctor --cluster` tries. Traffic
between a pod and its own node is always allowed, so that the node's probes need no rule here.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, override

import yaml

from cattery.errors import BadRequestError
from cattery.jsontypes import Json, JsonObject
from cattery.sandboxes.kubernetes.allow_list import NOT_PUBLIC, NOT_PUBLIC_V6, check_allowed
from cattery.sandboxes.names import COMPONENT_LABEL

HEADER: Final = """\
# Written by `python -m cattery.sandboxes.kubernetes.policies`: change the model there, not here.
"""
PART_OF: Final[JsonObject] = {"app.kubernetes.io/part-of": "cattery"}


class Role(StrEnum):
    """What a pod is, as its label `app.kubernetes.io/component` says."""

    API = "api"
    WORKER = "worker"
    GATEWAY = "gateway"
    POSTGRES = "postgres"
    TEMPORAL = "temporal"
    SANDBOX = "sandbox"
    FILE_MANAGER = "filemgr"
    SKILL_MANAGER = "skillmgr"


class Port:
    """Where each of them listens (TCP)."""

    API: Final = 8080
    GATEWAY: Final = 8081
    HARNESS: Final = 4096
    FILES: Final = 4097
    POSTGRES: Final = 5432
    TEMPORAL: Final = 7233
    TEMPORAL_UI: Final = 8233


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection that is allowed: at its source and at its target."""

    source: Role
    target: Role
    port: int


@dataclass(frozen=True, slots=True)
class Site:
    """What differs between installations. `allowed` is what sandboxes reach beside the gateway."""

    system: str = "cattery-system"
    sandboxes: str = "cattery-sandboxes"
    allowed: tuple[str, ...] = ()
    allowed_ports: tuple[int, ...] = (443,)


CONNECTIONS: Final = (
    Connection(Role.SANDBOX, Role.GATEWAY, Port.GATEWAY),
    Connection(Role.WORKER, Role.SANDBOX, Port.HARNESS),
    Connection(Role.API, Role.SANDBOX, Port.HARNESS),  # terminals
    *(
        Connection(source, target, Port.FILES)
        for source in (Role.API, Role.WORKER)
        for target in (Role.FILE_MANAGER, Role.SKILL_MANAGER)
    ),
    *(
        Connection(source, Role.POSTGRES, Port.POSTGRES)
        for source in (Role.API, Role.WORKER, Role.GATEWAY, Role.TEMPORAL)
    ),
    Connection(Role.API, Role.TEMPORAL, Port.TEMPORAL),
    Connection(Role.WORKER, Role.TEMPORAL, Port.TEMPORAL),
    Connection(Role.API, Role.TEMPORAL, Port.TEMPORAL_UI),
)
IN_SANDBOXES: Final = frozenset({Role.SANDBOX, Role.FILE_MANAGER, Role.SKILL_MANAGER})
USING_DNS: Final = frozenset({Role.API, Role.WORKER, Role.GATEWAY, Role.TEMPORAL})
API_SERVER_PORTS: Final = (443, 6443)


def render(site: Site | None = None) -> str:
    """Write all policies of an installation as YAML.

    Raises:
        BadRequestError: the allow-list has what no sandbox may reach.
    """
    documents = build_policies(site or Site())
    return HEADER + yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=100)


def build_policies(site: Site) -> list[JsonObject]:
    """Build all policies of an installation.

    Raises:
        BadRequestError: the allow-list has what no sandbox may reach.
    """
    allowed = [check_allowed(cidr) for cidr in site.allowed]
    policies = [_deny_all(namespace) for namespace in (site.system, site.sandboxes)]
    return policies + [_build_policy(site, role, allowed) for role in Role]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the policies."""
    parser = argparse.ArgumentParser(
        prog="python -m cattery.sandboxes.kubernetes.policies",
        description="Print the network policies of an installation.",
    )
    site = Site()
    parser.add_argument("--system", default=site.system, help="namespace of Cattery's processes")
    parser.add_argument("--sandboxes", default=site.sandboxes, help="namespace of sandboxes")
    parser.add_argument(
        "--allow", action="append", default=[], metavar="CIDR", help="sandboxes reach this too"
    )
    parser.add_argument(
        "--allow-port", action="append", type=int, metavar="PORT", help="there; 443 if not given"
    )
    given = parser.parse_args(arguments)
    ports = tuple(given.allow_port or site.allowed_ports)
    try:
        text = render(Site(given.system, given.sandboxes, tuple(given.allow), ports))
    except BadRequestError as error:
        parser.error(error.message)
    sys.stdout.write(text)


class _Dumper(yaml.SafeDumper):
    """Writes everything out: no part of a policy is a reference to another one's."""

    @override
    def ignore_aliases(self, data: object) -> bool:
        return True


def _deny_all(namespace: str) -> JsonObject:
    return _policy(namespace, "cattery-default-deny", {}, [], [])


def _build_policy(site: Site, role: Role, allowed: Sequence[str]) -> JsonObject:
    ingress = [
        _rule("from", [_pods(site, one.source)], (one.port,))
        for one in CONNECTIONS
        if one.target is role
    ]
    egress = [
        _rule("to", [_pods(site, one.target)], (one.port,))
        for one in CONNECTIONS
        if one.source is role
    ]
    return _policy(
        _namespace(site, role),
        f"cattery-{role.value}",
        {"matchLabels": _labels(role)},
        ingress + _more_ingress(role),
        egress + _more_egress(site, role, allowed),
    )


def _policy(
    namespace: str,
    name: str,
    selector: JsonObject,
    ingress: list[JsonObject],
    egress: list[JsonObject],
) -> JsonObject:
    """Write a policy for both directions; what has no rule is denied."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/name": "cattery", **PART_OF},
        },
        "spec": {
            "podSelector": selector,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [*ingress],
            "egress": [*egress],
        },
    }


def _more_ingress(role: Role) -> list[JsonObject]:
    """Return who else may come in: people, from wherever they are."""
    return [{"ports": _ports((Port.API,))}] if role is Role.API else []


def _more_egress(site: Site, role: Role, allowed: Sequence[str]) -> list[JsonObject]:
    """Return what else may be reached, outside of Cattery."""
    rules: list[JsonObject] = []
    if role in USING_DNS:
        rules.append({"to": [_DNS], "ports": _ports((53,), "UDP", "TCP")})
    if role is Role.WORKER:
        # The cluster's API: where it listens differs, so that any address will do.
        anywhere = _anywhere_but(("169.254.0.0/16",), ("fe80::/10",))
        rules.append(_rule("to", anywhere, API_SERVER_PORTS))
    if role is Role.GATEWAY:
        # The model providers.
        providers = _anywhere_but(NOT_PUBLIC, NOT_PUBLIC_V6)
        rules.append({"to": [*providers], "ports": [{"protocol": "TCP"}]})
    if role is Role.SANDBOX and allowed:
        blocks: list[JsonObject] = [{"ipBlock": {"cidr": cidr}} for cidr in allowed]
        rules.append(_rule("to", blocks, site.allowed_ports))
    return rules


def _rule(direction: str, peers: Sequence[JsonObject], ports: Sequence[int]) -> JsonObject:
    return {direction: [*peers], "ports": _ports(ports)}


def _ports(ports: Sequence[int], *protocols: str) -> list[Json]:
    return [
        {"protocol": protocol, "port": port} for protocol in protocols or ("TCP",) for port in ports
    ]


def _pods(site: Site, role: Role) -> JsonObject:
    """Select pods by namespace and by label in one peer: two peers would be one or the other."""
    return {
        "namespaceSelector": {
            "matchLabels": {"kubernetes.io/metadata.name": _namespace(site, role)}
        },
        "podSelector": {"matchLabels": _labels(role)},
    }


def _labels(role: Role) -> JsonObject:
    return {**PART_OF, COMPONENT_LABEL: role.value}


def _namespace(site: Site, role: Role) -> str:
    return site.sandboxes if role in IN_SANDBOXES else site.system


def _anywhere_but(v4: Sequence[str], v6: Sequence[str]) -> list[JsonObject]:
    return [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": [*v4]}},
        {"ipBlock": {"cidr": "::/0", "except": [*v6]}},
    ]


_DNS: Final[JsonObject] = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}


if __name__ == "__main__":
    main()
