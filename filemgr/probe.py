"""Tries what a sandbox can reach: `python -m filemgr.probe --port 4096`.

It runs in a pod that is confined as a sandbox is, and says what came of real connections, so that
`cattery doctor` can compare with what the network policies promise. It also simply listens, for
another probe to try to reach it. What it was asked first, by `--targets`, it prints as one line of
JSON, for whoever can read its log but not reach it.
"""

import argparse
import asyncio
import errno
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Final, override

from aiohttp import web

from cattery.errors import BadRequestError
from cattery.files.remote_wire import TOKEN_VARIABLE
from cattery.network_probe import (
    RESULTS,
    RESULTS_MARK,
    Hope,
    Outcome,
    Result,
    Target,
    TargetKind,
    parse_targets,
)
from filemgr.replies import read_json, reply
from filemgr.server import create_guarded_app, serve

DEFAULT_TIMEOUT: Final = 3.0
MAX_SECONDS: Final = 30.0
PAUSE: Final = 0.25
"""Between two tries of a target that does not come as hoped."""
_DETAIL_LETTERS: Final = 200
_REFUSALS = frozenset({errno.ECONNREFUSED, errno.ECONNRESET})
_NO_WAY = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPERM, errno.EACCES})


async def check(targets: Sequence[Target], timeout: float, patience: float = 0.0) -> list[Result]:
    """Try all targets at the same time, those first that should be reached.

    A pod's network comes to be while the pod runs already: at first nothing gets through, or
    everything does. What should be reached shows when it is there, and only then says the rest
    something.

    Args:
        targets: what to try.
        timeout: seconds for one try.
        patience: seconds for which a target is tried again that does not come as it should.
    """
    first = [target for target in targets if target.hope is Hope.OPEN]
    rest = [target for target in targets if target.hope is not Hope.OPEN]
    found: dict[Target, Result] = {}
    for group in (first, rest):
        results = await asyncio.gather(*(_try_until(one, timeout, patience) for one in group))
        found.update(zip(group, results, strict=True))
    return [found[target] for target in targets]


def create_app(token: str, results: Sequence[Result] = ()) -> web.Application:
    """Build the application; `results` are those of checks that were made before."""
    routes = _Routes(results)
    app = create_guarded_app(token)
    app.router.add_get("/healthz", routes.answer_health)
    app.router.add_get(RESULTS, routes.show)
    app.router.add_post("/check", routes.check)
    return app


class _Routes:
    def __init__(self, results: Sequence[Result]) -> None:
        self._results = results

    async def answer_health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def show(self, _: web.Request) -> web.Response:
        return reply(self._results)

    async def check(self, request: web.Request) -> web.Response:
        wanted = await read_json(request)
        if not isinstance(wanted, dict):
            raise BadRequestError("Send an object with `targets` and `timeout`.")
        timeout = _read_seconds(wanted, "timeout", DEFAULT_TIMEOUT)
        patience = _read_seconds(wanted, "patience", 0.0)
        self._results = await check(parse_targets(wanted.get("targets")), timeout, patience)
        return reply(self._results)


def _read_seconds(wanted: Mapping[str, object], name: str, default: float) -> float:
    seconds = wanted.get(name, default)
    if not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_SECONDS:
        raise BadRequestError(f"The {name} is a number of seconds up to {MAX_SECONDS:g}.")
    return float(seconds)


async def _try_until(target: Target, timeout: float, patience: float) -> Result:
    """Try a target until it comes as hoped, or patience is at its end."""
    ends_at = time.monotonic() + patience
    tries = 0
    while True:
        tries += 1
        result = await _check_one(target, timeout)
        is_open = result.outcome is Outcome.OPEN
        as_hoped = target.hope is Hope.ANYTHING or is_open is (target.hope is Hope.OPEN)
        if as_hoped or time.monotonic() >= ends_at:
            return replace(result, tries=tries)
        await asyncio.sleep(PAUSE)


async def _check_one(target: Target, timeout: float) -> Result:
    started_at = time.monotonic()
    try:
        async with asyncio.timeout(timeout):
            outcome, detail = Outcome.OPEN, await _ATTEMPTS[target.kind](target)
    except TimeoutError:
        outcome, detail = Outcome.TIMEOUT, f"nothing came within {timeout:g} s"
    except OSError as error:
        outcome, detail = _judge(error), str(error)[:_DETAIL_LETTERS]
    spent = round((time.monotonic() - started_at) * 1000)
    where = (target.name, target.kind, target.host, int(target.port))
    return Result(*where, outcome, detail, spent)


def _judge(error: OSError) -> Outcome:
    if error.errno == errno.ETIMEDOUT:
        return Outcome.TIMEOUT
    if error.errno in _REFUSALS:
        return Outcome.REFUSED
    return Outcome.UNREACHABLE if error.errno in _NO_WAY else Outcome.ERROR


async def _try_tcp(target: Target) -> str:
    _, writer = await asyncio.open_connection(target.host, target.port)
    writer.close()
    return "the connection was accepted"


async def _try_http(target: Target) -> str:
    reader, writer = await asyncio.open_connection(target.host, target.port)
    try:
        path = target.ask or "/"
        head = f"GET {path} HTTP/1.1\r\nHost: {target.host}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        line = await reader.readline()
    finally:
        writer.close()
    if not line:
        raise ConnectionResetError(errno.ECONNRESET, "closed without an answer")
    return line.decode(errors="replace").strip()[:_DETAIL_LETTERS]


async def _try_dns(target: Target) -> str:
    """Send a question about an address; any answer at all means that somebody was reached."""
    loop = asyncio.get_running_loop()
    replied: asyncio.Future[bytes] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Question(replied), remote_addr=(target.host, int(target.port))
    )
    try:
        transport.sendto(_encode_question(target.ask or "kubernetes.default.svc.cluster.local"))
        return f"a reply of {len(await replied)} bytes"
    finally:
        transport.close()


class _Question(asyncio.DatagramProtocol):
    def __init__(self, replied: asyncio.Future[bytes]) -> None:
        self._replied = replied

    @override
    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr
        if not self._replied.done():
            self._replied.set_result(data)

    @override
    def error_received(self, exc: Exception) -> None:
        if not self._replied.done():
            self._replied.set_exception(exc)


def _encode_question(name: str) -> bytes:
    """Write a query for an A record (RFC 1035, section 4.1)."""
    head = secrets.token_bytes(2) + bytes.fromhex("01000001000000000000")
    labels = [part.encode()[:63] for part in name.strip(".").split(".")]
    encoded = b"".join(bytes([len(part)]) + part for part in labels)
    return head + encoded + b"\0\0\x01\0\x01"


_ATTEMPTS = {TargetKind.TCP: _try_tcp, TargetKind.HTTP: _try_http, TargetKind.UDP_DNS: _try_dns}


async def _run(arguments: argparse.Namespace, token: str) -> None:
    results: list[Result] = []
    if arguments.targets:
        targets = parse_targets(json.loads(arguments.targets))
        results = await check(targets, arguments.timeout, arguments.patience)
        line = json.dumps([asdict(result) for result in results])
        sys.stdout.write(f"{RESULTS_MARK}{line}\n")
        sys.stdout.flush()
    await serve(create_app(token, results), arguments.host, arguments.port)


def main() -> None:
    """Listen until told to stop; the token comes from the environment."""
    parser = argparse.ArgumentParser(prog="python -m filemgr.probe", description=__doc__)
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104 - its pod's own address
    parser.add_argument("--port", type=int, default=4096)
    parser.add_argument("--targets", default="", help="JSON, as of POST /check; tried at once")
    parser.add_argument("--timeout", type=float, default=DEFAULT_TIMEOUT, help="of one try")
    parser.add_argument("--patience", type=float, default=0.0, help="seconds for more tries")
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        sys.exit(f"{TOKEN_VARIABLE} is not set: without a token anybody could use the probe.")
    asyncio.run(_run(parser.parse_args(), token))


if __name__ == "__main__":
    main()
