"""What the network probe says of connections that are taken, refused, unanswered or impossible."""

import asyncio
import json
import os
import sys
from typing import override

import aiohttp

from cattery.files.remote_wire import TOKEN_VARIABLE
from cattery.network_probe import RESULTS_MARK, Hope, Outcome, Target, TargetKind, parse_targets
from filemgr.probe import check, create_app
from tests.processes import free_port
from tests.unit.served_files import TOKEN, listening

HEADERS = {"Authorization": f"Bearer {TOKEN}"}


class Echo(asyncio.DatagramProtocol):
    """Answers every datagram with itself."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self._transport = transport

    @override
    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(data, addr)


class Silence(asyncio.DatagramProtocol):
    """Answers nothing."""


async def test_each_kind_of_target_is_really_tried() -> None:
    loop = asyncio.get_running_loop()
    echo, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    mute, _ = await loop.create_datagram_endpoint(Silence, local_addr=("127.0.0.1", 0))
    async with listening(create_app(TOKEN)) as probe, aiohttp.ClientSession() as http:
        port = int(probe.base_url.rpartition(":")[2])
        wanted = {
            "taken": target("tcp", port),
            "refused": target("tcp", free_port()),
            "answered": target("http", port) | {"ask": "/healthz"},
            "resolved": target("udp-dns", echo.get_extra_info("sockname")[1]),
            "unheard": target("udp-dns", mute.get_extra_info("sockname")[1]),
            "closed": target("udp-dns", free_port()),
            "unknown": target("tcp", 80) | {"host": "no-such-host.invalid"},
        }
        body = {"timeout": 1, "targets": [{"name": n} | t for n, t in wanted.items()]}
        async with http.post(f"{probe.base_url}/check", json=body, headers=HEADERS) as response:
            results = await response.json()
        async with http.get(f"{probe.base_url}/results", headers=HEADERS) as response:
            assert await response.json() == results
    echo.close()
    mute.close()
    assert {each["name"]: each["outcome"] for each in results} == {
        "taken": "open",
        "refused": "refused",
        "answered": "open",
        "resolved": "open",
        "unheard": "timeout",
        "closed": "refused",
        "unknown": "error",
    }
    assert results[2]["detail"] == "HTTP/1.1 200 OK"


async def test_it_does_nothing_for_whoever_has_no_token_or_no_sense() -> None:
    async with listening(create_app(TOKEN)) as probe, aiohttp.ClientSession() as http:
        async with http.post(f"{probe.base_url}/check", json={"targets": []}) as response:
            assert response.status == 401
        nonsense: list[object] = [
            [],
            {},
            {"targets": [{"name": "x", "kind": "icmp", "host": "h", "port": 1}]},
            {"targets": [{"name": "x"}]},
            {"targets": ["x"]},
            {"targets": [], "timeout": 3600},
        ]
        for body in nonsense:
            async with http.post(f"{probe.base_url}/check", json=body, headers=HEADERS) as response:
                assert response.status == 400, body


async def test_what_it_is_started_with_is_printed() -> None:
    wanted = [{"name": "nobody"} | target("tcp", free_port())]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "filemgr.probe", "--host", "127.0.0.1", "--port", "0"),
        *("--targets", json.dumps(wanted)),
        env={**os.environ, TOKEN_VARIABLE: TOKEN},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    process.terminate()
    await process.communicate()
    assert line.startswith(RESULTS_MARK)
    [result] = json.loads(line.removeprefix(RESULTS_MARK))
    assert (result["name"], result["outcome"]) == ("nobody", Outcome.REFUSED)


async def test_what_should_be_reached_is_awaited_and_only_then_is_the_rest_tried() -> None:
    late, shut = free_port(), free_port()
    targets = [
        Target("closed", TargetKind.TCP, "127.0.0.1", shut, hope=Hope.CLOSED),
        Target("leaks", TargetKind.TCP, "127.0.0.1", late, hope=Hope.CLOSED),
        Target("late", TargetKind.TCP, "127.0.0.1", late, hope=Hope.OPEN),
    ]
    checking = asyncio.create_task(check(targets, 1, 0.6))
    await asyncio.sleep(0.3)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", late)
    closed, leaks, opened = await checking
    server.close()
    assert (closed.outcome, closed.tries) == (Outcome.REFUSED, 1)
    for found in (leaks, opened):
        assert found.outcome is Outcome.OPEN
        assert found.tries > 1


def test_targets_are_read_whole() -> None:
    [read] = parse_targets([{"name": "x", "kind": "tcp", "host": "h", "port": "80"}])
    assert (read.name, read.kind, read.host, read.port, read.ask) == ("x", "tcp", "h", 80, "")


def target(kind: str, port: int) -> dict[str, object]:
    return {"kind": kind, "host": "127.0.0.1", "port": port}
