"""The fake cluster's HTTP: paths, lists in pages, watches, patches, logs, discovery, faults."""

import asyncio
import contextlib
import secrets
from typing import Any

import orjson
from aiohttp import web

from tests.fake_cluster.controllers import SandboxController
from tests.fake_cluster.faults import BrokenConnectionError, Call, Fault, Moment, OpenWatch
from tests.fake_cluster.kubelet import Kubelet
from tests.fake_cluster.store import (
    GROUP,
    KINDS,
    PODS,
    SANDBOXES,
    Change,
    Raw,
    RefusalError,
    Store,
    matches,
    not_found,
    to_served,
    to_stored,
)

_VERBS = {"POST": "create", "GET": "get", "PATCH": "patch", "DELETE": "delete"}


class ApiServer:
    """Serves a store. What tests set is documented on `FakeCluster`, which is one of these."""

    def __init__(self) -> None:
        self.store = Store()
        self.controller = SandboxController(self.store)
        self.kubelet = Kubelet(self.store)
        self.calls: list[Call] = []
        self.moments: list[Moment] = []
        self.faults: list[Fault] = []
        self.watches: set[OpenWatch] = set()
        self.sandbox_versions: tuple[str, ...] = ("v1beta1", "v1alpha1")
        self.allowed: set[tuple[str, str]] | None = None
        self.token: str | None = None
        self.bookmark_seconds = 0.2
        self.watch_seconds = 1800.0
        self.logs: dict[tuple[str, bool], str] = {}
        self._pages: dict[str, tuple[int, list[Raw]]] = {}

    def make_app(self) -> web.Application:
        app = web.Application(client_max_size=4 * 1024 * 1024)
        for base in ("/api/v1", f"/apis/{GROUP}/{{version}}"):
            objects = f"{base}/namespaces/{{namespace}}/{{plural}}"
            app.router.add_route("*", objects, self._serve)
            app.router.add_route("*", objects + "/{name}", self._serve)
            app.router.add_route("*", objects + "/{name}/{sub}", self._serve)
        app.router.add_get(f"/apis/{GROUP}", self._discover)
        return app

    async def pass_moment(self, moment: Moment) -> None:
        """Let the test look on, and break in."""

    # One request

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        call = self._record(request)
        try:
            self._admit(request, call)
            fault = next(iter([f for f in self.faults if f.hits(call)]), None)
            if fault is not None and not fault.after:
                await _fail(fault)
            if call.is_mutating:
                await self._pass("before", call)
            response = await self._answer(request, call)
            call.took_effect = call.is_mutating
            if call.is_mutating:
                await self._pass("after", call)
            if fault is not None:
                await _fail(fault)
        except RefusalError as refusal:
            headers = {"Retry-After": str(refusal.retry_after)} if refusal.retry_after else None
            response = _json(refusal.body, status=refusal.code, headers=headers)
        except BrokenConnectionError:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        call.status = response.status
        return response

    def _record(self, request: web.Request) -> Call:
        info = request.match_info
        plural, name = info["plural"], info.get("name", "")
        verb = _VERBS.get(request.method, request.method.lower())
        if info.get("sub"):
            plural += "/" + info["sub"]
        elif request.method == "GET" and not name:
            verb = "watch" if request.query.get("watch") in ("1", "true") else "list"
        call = Call(len(self.calls) + 1, verb, plural, name)
        self.calls.append(call)
        return call

    def _admit(self, request: web.Request, call: Call) -> None:
        given = request.headers.get("Authorization", "")
        if self.token is not None and given.lower() != f"bearer {self.token}".lower():
            raise RefusalError(401, "Unauthorized", "Unauthorized")
        version = request.match_info.get("version")
        plural = call.plural.split("/")[0]
        served = self.sandbox_versions if plural == SANDBOXES else (None,)
        if plural not in KINDS or version not in served:
            raise RefusalError(404, "NotFound", "the server could not find the requested resource")
        if self.allowed is not None and (call.verb, call.plural) not in self.allowed:
            group = KINDS[plural][0]
            resource = f"{call.plural}.{group}" if group else call.plural
            named = f' "{call.name}"' if call.name else ""
            raise RefusalError(
                403,
                "Forbidden",
                f"{resource}{named} is forbidden: User "
                f'"system:serviceaccount:cattery-system:cattery-worker" cannot {call.verb} '
                f'resource "{call.plural}" in API group "{group}" in the namespace '
                f'"{request.match_info["namespace"]}"',
                {"group": group, "kind": call.plural},
            )

    async def _pass(self, when: Any, call: Call) -> None:
        moment = Moment(len(self.moments) + 1, when, call)
        self.moments.append(moment)
        try:
            await self.pass_moment(moment)
        except Exception:
            raise BrokenConnectionError from None

    async def _answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        namespace, version = request.match_info["namespace"], request.match_info.get("version")
        if call.plural == "pods/log":
            return self._read_log(request, namespace, call.name)
        if "/" in call.plural:
            raise not_found(call.plural, call.name)
        match call.verb:
            case "watch":
                return await self._watch(request, namespace, call)
            case "list":
                return self._list(request, namespace, call.plural)
        body = await _read_body(request)
        match call.verb:
            case "create":
                found = self.store.create(call.plural, namespace, to_stored(body, version))
                return _json(to_served(found, version), status=201)
            case "get":
                return _json(to_served(self.store.get(call.plural, namespace, call.name), version))
            case "patch":
                return _json(to_served(self._patch(request, namespace, call, body), version))
            case "delete":
                uid = ((body or {}).get("preconditions") or {}).get("uid")
                found = self.store.delete(call.plural, namespace, call.name, uid=uid)
                return _json(to_served(found, version))
        raise RefusalError(405, "MethodNotAllowed", f"{call.verb} is not allowed")

    def _patch(self, request: web.Request, namespace: str, call: Call, body: Any) -> Raw:
        if request.content_type != "application/json-patch+json" or not isinstance(body, list):
            raise RefusalError(415, "UnsupportedMediaType", "the fake takes JSON patches only")
        version = request.match_info.get("version")
        return self.store.patch(call.plural, namespace, call.name, body, version=version)

    def _list(self, request: web.Request, namespace: str, plural: str) -> web.Response:
        limit = int(request.query.get("limit", "0"))
        token = request.query.get("continue", "")
        if token and token not in self._pages:
            message = "The provided continue parameter is too old to display a consistent list."
            raise RefusalError(410, "Expired", message)
        if token:
            version, items = self._pages.pop(token)
        else:
            selector = request.query.get("labelSelector", "")
            version, items = self.store.version, self.store.select(plural, namespace, selector)
        meta: Raw = {"resourceVersion": str(version)}
        if limit and len(items) > limit:
            rest = secrets.token_hex(8)
            self._pages[rest] = (version, items[limit:])
            meta |= {"continue": rest, "remainingItemCount": len(items) - limit}
            items = items[:limit]
        served = request.match_info.get("version")
        shown = [to_served(item, served) for item in items]
        return _json({"kind": f"{KINDS[plural][1]}List", "metadata": meta, "items": shown})

    async def _watch(self, request: web.Request, namespace: str, call: Call) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        call.status = 200
        watch = OpenWatch(call.plural, request)
        self.watches.add(watch)
        try:
            with contextlib.suppress(ConnectionError):
                await self._feed(watch, response, namespace)
        finally:
            self.watches.discard(watch)
        return response

    async def _feed(self, watch: OpenWatch, response: web.StreamResponse, namespace: str) -> None:
        query, plural = watch.request.query, watch.plural
        version = watch.request.match_info.get("version")
        selector = query.get("labelSelector", "")
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + min(float(query.get("timeoutSeconds", "1800")), self.watch_seconds)
        begin = int(query.get("resourceVersion") or "0")
        if begin == 0:
            begin = self.store.version
            for item in self.store.select(plural, namespace, selector):
                await response.write(_line("ADDED", to_served(item, version)))
        elif begin < self.store.oldest:
            watch.expired = True
        bookmark_at = loop.time() + self.bookmark_seconds
        while not watch.expired and loop.time() < ends_at:
            changed = self.store.next_change
            for change in self.store.changes_after(begin, plural):
                begin = change.version
                seen = _see(change, namespace, selector)
                if seen and not watch.silent:
                    await response.write(_line(seen, to_served(change.after, version)))
            wait = min(bookmark_at, ends_at) - loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(wait, 0.001)):
                    await changed.wait()
            if loop.time() >= bookmark_at and query.get("allowWatchBookmarks"):
                bookmark_at = loop.time() + self.bookmark_seconds
                if not watch.silent:
                    last = max(begin, self._version_before_now(plural, begin))
                    await response.write(_line("BOOKMARK", _bookmark(plural, last)))
        if watch.silent:
            await asyncio.Event().wait()
        if watch.expired:
            gone = RefusalError(410, "Expired", f"too old resource version: {begin}")
            await response.write(_line("ERROR", gone.body))

    def _version_before_now(self, plural: str, begin: int) -> int:
        pending = any(True for _ in self.store.changes_after(begin, plural))
        return begin if pending else self.store.version

    def _read_log(self, request: web.Request, namespace: str, name: str) -> web.Response:
        pod = self.store.get(PODS, namespace, name)
        previous = request.query.get("previous") in ("1", "true")
        container = pod["spec"]["containers"][0]["name"]
        status = (pod["status"].get("containerStatuses") or [{"state": {}, "lastState": {}}])[0]
        if name in self.kubelet.lost:
            message = "dial tcp 10.0.0.1:10250: connect: no route to host"
            raise RefusalError(500, "InternalError", message)
        if previous and not status["lastState"]:
            message = f'previous terminated container "{container}" in pod "{name}" not found'
            raise RefusalError(400, "BadRequest", message)
        if not previous and "waiting" in status["state"] and not status["lastState"]:
            why = status["state"]["waiting"]["reason"]
            message = f'container "{container}" in pod "{name}" is waiting to start: {why}'
            raise RefusalError(400, "BadRequest", message)
        lines = self.logs.get((name, previous), "").splitlines(keepends=True)
        tail = int(request.query.get("tailLines", "1000000"))
        return web.Response(text="".join(lines[-tail:] if tail else []))

    async def _discover(self, _: web.Request) -> web.Response:
        if not self.sandbox_versions:
            refusal = RefusalError(
                404, "NotFound", "the server could not find the requested resource"
            )
            return _json(refusal.body, status=404)
        versions = [{"groupVersion": f"{GROUP}/{v}", "version": v} for v in self.sandbox_versions]
        group = {"kind": "APIGroup", "apiVersion": "v1", "name": GROUP, "versions": versions}
        return _json({**group, "preferredVersion": versions[0]})


def _see(change: Change, namespace: str, selector: str) -> str | None:
    """Say what a watch with a selector sees of a change."""
    if change.after["metadata"]["namespace"] != namespace:
        return None
    before = change.before is not None and matches(change.before, selector)
    after = change.type != "DELETED" and matches(change.after, selector)
    if before and after:
        return "MODIFIED"
    return "ADDED" if after else "DELETED" if before else None


def _bookmark(plural: str, version: int) -> Raw:
    return {"kind": KINDS[plural][1], "metadata": {"resourceVersion": str(version)}}


def _line(kind: str, item: Raw) -> bytes:
    return orjson.dumps({"type": kind, "object": item}) + b"\n"


def _json(body: Raw, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=orjson.dumps(body), status=status, headers=headers, content_type="application/json"
    )


async def _read_body(request: web.Request) -> Any:
    data = await request.read()
    return orjson.loads(data) if data else None


async def _fail(fault: Fault) -> None:
    if fault.how == "reset":
        raise BrokenConnectionError
    if fault.how == "hang":
        await asyncio.Event().wait()
    assert isinstance(fault.how, int)
    reasons = {429: "TooManyRequests", 500: "InternalError", 409: "Conflict", 403: "Forbidden"}
    reason = reasons.get(fault.how, "Unknown")
    message = fault.message or "scripted failure"
    raise RefusalError(fault.how, reason, message, retry_after=fault.retry_after or 0)
