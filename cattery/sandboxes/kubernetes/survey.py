"""Looks at a cluster for `cattery doctor --cluster`: what it serves, and what we may do there.

Nothing is changed. What these credentials may not read is `None`: the worker's own may read little,
and that is as it should be.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self, override

import orjson

from cattery.jsontypes import Json, JsonObject
from cattery.sandboxes.kubernetes.discovery import DISCOVERY_PATH
from cattery.sandboxes.kubernetes.failures import Attempt, refuse
from cattery.sandboxes.kubernetes.kinds import SANDBOX_GROUP, Kind
from cattery.sandboxes.kubernetes.reading import as_list, as_object, as_strings, as_text
from cattery.sandboxes.kubernetes.transport import (
    Patience,
    Request,
    Transport,
    load_configuration,
)
from cattery.settings import KubernetesSettings

_PATIENCE: Final = Patience(total=timedelta(seconds=10), brief=timedelta(seconds=2))
"""Somebody sits and waits."""


@dataclass(frozen=True, slots=True)
class Right:
    """A verb on a resource, such as `get pods/log`, in the namespace of the sandboxes."""

    verb: str
    resource: str
    group: str = ""

    @override
    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


def _rights(resource: str, verbs: str, group: str = "") -> tuple[Right, ...]:
    return tuple(Right(verb, resource, group) for verb in verbs.split())


NEEDED: Final = (
    *_rights("sandboxes", "get list watch create patch delete", SANDBOX_GROUP),
    *_rights("persistentvolumeclaims", "get list watch create delete"),
    *_rights("secrets", "create delete"),
    *_rights("pods", "get list watch"),
    *_rights("pods/log", "get"),
    *_rights("events", "list watch"),
)
"""What k8s/base/worker-role.yaml grants."""
EXCESS: Final = (
    *_rights("pods", "create patch update delete"),
    *_rights("pods/exec", "create"),
    *_rights("pods/attach", "create"),
    *_rights("pods/portforward", "create"),
    *_rights("pods/ephemeralcontainers", "patch"),
    *_rights("secrets", "get list watch"),
    *_rights("serviceaccounts/token", "create"),
    *_rights("roles", "create patch", "rbac.authorization.k8s.io"),
    *_rights("rolebindings", "create patch", "rbac.authorization.k8s.io"),
    *_rights("networkpolicies", "create patch delete", "networking.k8s.io"),
)
"""What would let whoever took the worker over out of the walls; it is not needed."""


@dataclass(frozen=True, slots=True)
class Quota:
    """One amount that a quota of the namespace limits."""

    name: str
    used: str
    limit: str


class _Question(Attempt):
    """Something that is asked of the cluster itself, not of an object."""

    @override
    def __str__(self) -> str:
        return self.verb


class Survey:
    """Questions to one cluster. `close` it."""

    def __init__(self, transport: Transport, namespace: str) -> None:
        self._transport = transport
        self._namespace = namespace

    @classmethod
    async def connect(cls, settings: KubernetesSettings) -> Self:
        """Take up the configuration.

        Raises:
            SandboxSetupError: no cluster is configured.
        """
        configuration = await load_configuration(None)
        transport = Transport(configuration, _PATIENCE, lambda: load_configuration(None))
        return cls(transport, settings.namespace)

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    @property
    def server(self) -> str:
        """Return where the API is."""
        return self._transport.server

    async def read_version(self) -> str:
        """Return the cluster's version.

        Raises:
            SandboxError: the API does not answer.
        """
        found = await self._ask("tell its version", "/version")
        return as_text((found or {}).get("gitVersion")) or "of an unknown version"

    async def list_sandbox_versions(self) -> list[str]:
        """Return the versions of the Sandbox API that are served, the preferred one first."""
        found = await self._ask("tell which Sandboxes it serves", DISCOVERY_PATH)
        versions = [as_object(one) for one in as_list((found or {}).get("versions"))]
        return [as_text(one.get("version")) for one in versions]

    async def find_allowed(self, rights: tuple[Right, ...]) -> set[Right]:
        """Return those rights that these credentials have."""
        answers = await asyncio.gather(*map(self._may, rights))
        return {right for right, allowed in zip(rights, answers, strict=True) if allowed}

    async def read_namespace_labels(self) -> dict[str, str] | None:
        """Return the labels of the namespace; `None` where they may not be read.

        Raises:
            ClusterRefusedError: there is no such namespace.
        """
        found = await self._ask("read the namespace", f"/api/v1/namespaces/{self._namespace}")
        if found is None:
            return None
        return dict(as_strings(as_object(found.get("metadata")).get("labels")))

    async def list_storage_classes(self) -> dict[str, bool] | None:
        """Return the storage classes by name, and whether each is the default one."""
        found = await self._ask(
            "list the storage classes", "/apis/storage.k8s.io/v1/storageclasses"
        )
        if found is None:
            return None
        every = [as_object(as_object(one).get("metadata")) for one in as_list(found.get("items"))]
        default = "storageclass.kubernetes.io/is-default-class"
        return {
            as_text(one.get("name")): as_strings(one.get("annotations")).get(default) == "true"
            for one in every
        }

    async def list_quotas(self) -> list[Quota] | None:
        """Return what quotas limit, and how much of it is used."""
        path = f"/api/v1/namespaces/{self._namespace}/resourcequotas"
        found = await self._ask("list the quotas", path)
        if found is None:
            return None
        statuses = [as_object(as_object(one).get("status")) for one in as_list(found.get("items"))]
        return [
            Quota(name, as_strings(status.get("used")).get(name, "0"), limit)
            for status in statuses
            for name, limit in as_strings(status.get("hard")).items()
        ]

    async def _may(self, right: Right) -> bool:
        resource, _, part = right.resource.partition("/")
        about: dict[str, Json] = {
            "namespace": self._namespace,
            "verb": right.verb,
            "group": right.group,
            "resource": resource,
            "subresource": part,
        }
        found = await self._ask(
            f"tell whether we may {right}",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": about},
            },
        )
        return as_object((found or {}).get("status")).get("allowed") is True

    async def _ask(self, what: str, path: str, body: JsonObject | None = None) -> JsonObject | None:
        """Ask; `None` where that is not allowed, or where the cluster has no such API.

        Raises:
            SandboxError: the cluster could not answer.
        """
        attempt = _Question(what, Kind.SANDBOX, self._namespace, self._namespace)
        method = "GET" if body is None else "POST"
        answer = await self._transport.send(Request(attempt, method, path, body=body), briefly=True)
        status = answer.status
        if status is not None and (status.code == 403 or (status.code == 404 and not status.about)):
            return None
        if status is not None:
            raise refuse(attempt, status)
        found = orjson.loads(answer.body)
        return found if isinstance(found, dict) else {}
