"""A real worker with the scripted harness, which it reaches through the proxies of the rig.

Run as `python -m tests.faults.streams.worker`. A harness listens on a port that the worker chooses.
Before it is started the rig is told, and listens on the same port of `ROUTE`, another address of
loopback. From there it carries every connection on.
"""

import dataclasses
import os
import socket
from typing import Any

from cattery.harnesses.opencode.client import OpencodeClient
from cattery.harnesses.port import HarnessEndpoint, HarnessType, Launch, LaunchInput
from cattery.settings import LOOPBACK
from tests.scripted_type import launch_scripted, scripted_type

ROUTE = "127.0.0.2"
CONTROL = "CATTERY_TEST_ROUTES"
"""Port on which the rig hears of harnesses: a line with the port, answered by a line."""


class RoutedClient(OpencodeClient):
    """Reaches its harness through the rig."""

    def __init__(self, endpoint: HarnessEndpoint, **given: Any) -> None:
        routed = endpoint.base_url.replace(LOOPBACK, ROUTE)
        super().__init__(HarnessEndpoint(routed, endpoint.password), **given)


def launch_routed(given: LaunchInput) -> Launch:
    control = (LOOPBACK, int(os.environ[CONTROL]))
    with socket.create_connection(control, timeout=10) as rig, rig.makefile("rwb") as stream:
        stream.write(b"%d\n" % given.port)
        stream.flush()
        assert stream.readline() == b"routed\n"
    return launch_scripted(given)


def routed_type() -> HarnessType:
    return dataclasses.replace(scripted_type(), launch=launch_routed, client=RoutedClient)


if __name__ == "__main__":
    from workers.main import run

    run({"opencode": routed_type()})
