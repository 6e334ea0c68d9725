"""The cluster's API as the worker uses it: five kinds, in one namespace, as JSON objects.

Every call is idempotent and patient (`transport`), every failure is typed (`failures`). Sandboxes
are v1beta1 here whatever the cluster serves (`discovery`).
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

import orjson

from cattery.jsontypes import Json, JsonObject
from cattery.sandboxes.kubernetes.discovery import DISCOVERY_PATH, SandboxDialect, choose_dialect
from cattery.sandboxes.kubernetes.failures import (
    Attempt,
    ClusterUnreachableError,
    WatchExpiredError,
    parse_status,
    refuse,
)
from cattery.sandboxes.kubernetes.kinds import SANDBOX_GROUP, SANDBOX_VERSION, Kind
from cattery.sandboxes.kubernetes.transport import (
    JSON_PATCH,
    Answer,
    Patience,
    Request,
    Transport,
    load_configuration,
)
from cattery.settings import KubernetesSettings

__all__ = ["ClusterApi", "Kind", "Listing", "Patience", "WatchLine", "WatchType"]

PAGE: Final = 500
LIST_TRIES: Final = 3
"""Times that a list is begun again because its next page is no longer there."""
MAX_LOG_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a kind, and the version of the cluster's state that they are of."""

    items: tuple[JsonObject, ...]
    resource_version: str


class WatchType(StrEnum):
    """What a line of a watch says of its object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclass(frozen=True, slots=True)
class WatchLine:
    """One line of a watch. A bookmark's object has nothing but a resource version."""

    type: WatchType
    item: JsonObject


class ClusterApi:
    """Calls to one namespace of one cluster. `close` it."""

    def __init__(self, transport: Transport, namespace: str) -> None:
        self.namespace = namespace
        self._transport = transport
        self._dialect: SandboxDialect | None = None
        self._discovery = asyncio.Lock()

    @classmethod
    async def connect(
        cls,
        settings: KubernetesSettings,
        *,
        kubeconfig: Path | None = None,
        patience: Patience | None = None,
    ) -> Self:
        """Take up the configuration; nothing is sent yet.

        Args:
            settings: say which namespace.
            patience: how long calls are tried.
            kubeconfig: this file, instead of where this process runs or `KUBECONFIG`.

        Raises:
            SandboxSetupError: no cluster is configured.
        """
        configuration = await load_configuration(kubeconfig)
        transport = Transport(
            configuration, patience or Patience(), lambda: load_configuration(kubeconfig)
        )
        return cls(transport, settings.namespace)

    @property
    def server(self) -> str:
        """Return the URL of the API as it is reached from here."""
        return self._transport.server

    async def close(self) -> None:
        """Close all connections; watches end."""
        await self._transport.close()

    async def create(self, kind: Kind, body: JsonObject) -> JsonObject:
        """Create an object and return it as it is now.

        Raises:
            AlreadyExistsError: there is one of this name; it may be ours, from a try whose answer
                was lost.
            QuotaExceededError: the namespace is full.
            SandboxError: as any call.
        """
        dialect = await self._dialect_of(kind)
        attempt = self._attempt("create", kind, _name_of(body))
        written = dialect.write(body) if dialect else self._write_owners(body)
        path = self._path(kind, dialect)
        return self._read(attempt, dialect, await self._send(attempt, "POST", path, body=written))

    async def get(self, kind: Kind, name: str) -> JsonObject | None:
        """Return an object, or `None` where there is none."""
        dialect = await self._dialect_of(kind)
        attempt = self._attempt("get", kind, name)
        answer = await self._send(attempt, "GET", self._path(kind, dialect, name))
        return None if _is_absent(answer) else self._read(attempt, dialect, answer)

    async def list(self, kind: Kind, *, labels: str = "") -> Listing:
        """Return all objects that a label selector takes."""
        for _ in range(LIST_TRIES):
            try:
                return await self._list(kind, labels, limit=PAGE)
            except WatchExpiredError:
                continue
        return await self._list(kind, labels, limit=0)

    async def patch(
        self, kind: Kind, name: str, operations: Sequence[Mapping[str, Json]]
    ) -> JsonObject | None:
        """Apply a JSON patch, all of it or nothing; `None` where there is no such object.

        Raises:
            PatchConflictError: a `test` failed, also because an earlier try had taken effect and
                its answer was lost: read the object again.
        """
        dialect = await self._dialect_of(kind)
        attempt = self._attempt("patch", kind, name)
        body: list[Json] = [
            *(dialect.write_patch(operations) if dialect else map(dict, operations))
        ]
        answer = await self._send(
            attempt, "PATCH", self._path(kind, dialect, name), body=body, content_type=JSON_PATCH
        )
        return None if _is_absent(answer) else self._read(attempt, dialect, answer)

    async def delete(self, kind: Kind, name: str, *, uid: str | None = None) -> bool:
        """Have an object deleted, and in the background what it owns.

        Args:
            kind: of what kind it is.
            name: what it is called.
            uid: only this very object, not another that has taken its name.

        Returns:
            Whether it was there. It may still be there, for as long as something holds it.
        """
        dialect = await self._dialect_of(kind)
        attempt = self._attempt("delete", kind, name)
        body: JsonObject = {"propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        answer = await self._send(attempt, "DELETE", self._path(kind, dialect, name), body=body)
        is_another = uid is not None and answer.status is not None and answer.status.code == 409
        if _is_absent(answer) or is_another:
            return False
        _check(attempt, answer)
        return True

    async def read_log(self, pod: str, *, lines: int, previous: bool = False) -> str:
        """Return the last lines that a pod's container wrote; empty where there is no log.

        Args:
            pod: its name.
            lines: how many at most.
            previous: of the container before its last restart.
        """
        attempt = self._attempt("read the log of", Kind.POD, pod)
        query = {"tailLines": str(lines), "limitBytes": str(MAX_LOG_BYTES)}
        if previous:
            query["previous"] = "true"
        path = Kind.POD.path(self.namespace, pod) + "/log"
        answer = await self._transport.send(Request(attempt, "GET", path, query), briefly=True)
        if answer.status is not None and answer.status.code in (400, 404):
            return ""  # not started yet, or gone
        return _check(attempt, answer).decode(errors="replace")

    async def watch(
        self,
        kind: Kind,
        *,
        labels: str = "",
        resource_version: str,
        lasting: timedelta,
    ) -> AsyncGenerator[WatchLine, None]:
        """Tell of every change after a version, in one request, until the server ends it.

        Args:
            kind: of what.
            labels: a selector; without one, all.
            resource_version: that of a list, or of an earlier line.
            lasting: how long the server is asked to go on. A watch that lasts notably longer has
                been forgotten by the server, and fails.

        Raises:
            WatchExpiredError: the server no longer has all changes since that version.
            SandboxError: the request failed, or broke off.
        """
        dialect = await self._dialect_of(kind)
        attempt = self._attempt("watch", kind)
        seconds = max(1, round(lasting.total_seconds()))
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
        }
        if labels:
            query["labelSelector"] = labels
        request = Request(attempt, "GET", self._path(kind, dialect), query)
        async with self._transport.open(request, lasting=timedelta(seconds=seconds)) as lines:
            async for line in lines:
                yield _read_line(attempt, dialect, line)

    async def _list(self, kind: Kind, labels: str, *, limit: int) -> Listing:
        dialect = await self._dialect_of(kind)
        attempt = self._attempt("list", kind)
        query = {"labelSelector": labels} if labels else {}
        if limit:
            query["limit"] = str(limit)
        items: list[JsonObject] = []
        while True:
            path = self._path(kind, dialect)
            page = _parse(attempt, await self._send(attempt, "GET", path, query=query))
            listed, meta = page.get("items"), page.get("metadata")
            items.extend(
                dialect.read(item) if dialect else item
                for item in (listed if isinstance(listed, list) else ())
                if isinstance(item, dict)
            )
            meta = meta if isinstance(meta, dict) else {}
            if not meta.get("continue"):
                return Listing(tuple(items), str(meta.get("resourceVersion", "")))
            query = {**query, "continue": str(meta["continue"])}

    async def _dialect_of(self, kind: Kind) -> SandboxDialect | None:
        """Find out once what the cluster serves; `None` for kinds that are the same everywhere."""
        if kind is not Kind.SANDBOX:
            return None
        async with self._discovery:
            if self._dialect is None:
                attempt = self._attempt("discover", kind)
                answer = await self._transport.send(Request(attempt, "GET", DISCOVERY_PATH))
                missing = answer.status is not None and answer.status.code == 404
                self._dialect = choose_dialect(None if missing else _parse(attempt, answer))
            return self._dialect

    def _write_owners(self, body: JsonObject) -> JsonObject:
        """Name the Sandboxes that own an object in the version that is served.

        In another version they are not found, and nothing that they own is cleared away.
        """
        metadata = body.get("metadata")
        owners = metadata.get("ownerReferences") if isinstance(metadata, dict) else None
        if self._dialect is None or not isinstance(metadata, dict) or not isinstance(owners, list):
            return body
        version = f"{SANDBOX_GROUP}/{self._dialect.version}"
        written: list[Json] = [
            {**owner, "apiVersion": version}
            if isinstance(owner, dict) and owner.get("kind") == "Sandbox"
            else owner
            for owner in owners
        ]
        return {**body, "metadata": {**metadata, "ownerReferences": written}}

    async def _send(
        self,
        attempt: Attempt,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Json = None,
        content_type: str = "application/json",
    ) -> Answer:
        request = Request(attempt, method, path, query or {}, body, content_type)
        answer = await self._transport.send(request)
        if answer.status is not None and answer.status.code == 404 and not answer.status.about:
            self._dialect = None  # the controller may have been replaced by one of another version
        return answer

    def _attempt(self, verb: str, kind: Kind, name: str = "") -> Attempt:
        return Attempt(verb, kind, self.namespace, name)

    def _path(self, kind: Kind, dialect: SandboxDialect | None, name: str = "") -> str:
        version = dialect.version if dialect else SANDBOX_VERSION
        return kind.path(self.namespace, name, version=version)

    def _read(self, attempt: Attempt, dialect: SandboxDialect | None, answer: Answer) -> JsonObject:
        found = _parse(attempt, answer)
        return dialect.read(found) if dialect else found


def _read_line(attempt: Attempt, dialect: SandboxDialect | None, line: bytes) -> WatchLine:
    try:
        found = orjson.loads(line)
        kind, item = found["type"], found["object"]
        if kind == "ERROR":
            raise refuse(attempt, parse_status(item))
        change = WatchType(kind)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ClusterUnreachableError(
            f"The cluster broke off as we {attempt}: a line is not whole."
        ) from error
    plain = dialect is None or change is WatchType.BOOKMARK
    return WatchLine(change, item if plain or dialect is None else dialect.read(item))


def _is_absent(answer: Answer) -> bool:
    """Whether there is no such object; not: no such API, which must never pass for it."""
    status = answer.status
    return status is not None and status.code == 404 and bool(status.about)


def _check(attempt: Attempt, answer: Answer) -> bytes:
    if answer.status is not None:
        raise refuse(attempt, answer.status)
    return answer.body


def _parse(attempt: Attempt, answer: Answer) -> JsonObject:
    try:
        found = orjson.loads(_check(attempt, answer))
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ClusterUnreachableError(
            f"The cluster could not {attempt}: its answer is not of the Kubernetes API. Check what "
            "stands between it and the worker."
        )
    return found


def _name_of(body: JsonObject) -> str:
    meta = body.get("metadata")
    return str(meta.get("name", "")) if isinstance(meta, dict) else ""
