"""Every kind of connection to the database notices that its server has vanished."""

import socket

import psutil

from cattery.db.engine import KEEP_ALIVE, Database
from cattery.events.appender import EventAppender
from cattery.events.hub import StreamHub
from cattery.ids import SessionId, new_id
from tests.db.written_log import open_logs, words

WATCHED = {
    "keepalives": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "keepalives_idle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    "keepalives_interval": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    "keepalives_count": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    "tcp_user_timeout": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
}


def options_of_connections(port: int, since: set[int]) -> list[dict[str, int]]:
    """Read what the connections to a port that came since were opened with."""
    found = []
    for one in psutil.Process().net_connections("tcp"):
        if one.raddr and one.raddr.port == port and one.fd not in since:
            with socket.socket(fileno=socket.dup(one.fd)) as copy:
                found.append({name: copy.getsockopt(*where) for name, where in WATCHED.items()})
    return found


def fds() -> set[int]:
    return {one.fd for one in psutil.Process().net_connections("tcp")}


async def test_every_connection_is_given_up_soon_after_its_server_has_vanished(
    database: Database,
) -> None:
    port = int(database.url.rpartition("/")[0].rpartition(":")[2])
    (fence,) = await open_logs(database)
    await database.engine.dispose()
    before = fds()
    hub, appender = StreamHub(database.url), EventAppender(database.url)
    await hub.start()
    await appender.start()
    try:
        async with database.read(), hub.subscribe(SessionId(new_id()), 0):
            turn = appender.open_turn(fence)
            await turn.append(words(1))
            await turn.flush()
            found = options_of_connections(port, before)
    finally:
        await appender.close()
        await hub.close()
    assert len(found) >= 3
    assert all(each == dict(KEEP_ALIVE) for each in found)
