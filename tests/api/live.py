"""The site on a real socket, in a thread with its own loop, for clients that are not in-process."""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from pydantic import SecretStr

from api.app import create_app
from api.main import quieten_server
from api.site import SiteFacts
from cattery.db.engine import connect
from cattery.events.hub import StreamHub
from cattery.sandboxes.factory import create_local_runtime
from cattery.settings import ApiSettings, DatabaseSettings, HomeSettings, SandboxSettings
from tests.api.site import SECRET, RecordedLifecycles, Site, cheap_passwords
from tests.harness_types import clone_registry


@dataclass
class LiveSite:
    """Where the site listens."""

    host: str
    site: Site
    loop: asyncio.AbstractEventLoop

    def run[T](self, coroutine: Coroutine[object, object, T]) -> T:
        """Run something in the site's own loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    @property
    def url(self) -> str:
        return f"http://{self.host}"


@contextmanager
def serving(database_url: str, home: Path) -> Iterator[LiveSite]:
    """Serve until the block ends."""
    quieten_server()
    # With the protocol named, or asyncio does not switch Nagle's algorithm off (40 ms an answer).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    lifecycles = RecordedLifecycles()
    started = threading.Event()
    holder: list[tuple[uvicorn.Server, LiveSite]] = []

    async def serve() -> None:
        database = connect(DatabaseSettings(url=SecretStr(database_url)))
        hub = StreamHub(database_url)
        await hub.start()
        runtime = create_local_runtime(HomeSettings(home=home), SandboxSettings(), clone_registry())
        app = create_app(
            ApiSettings(jwt_secret=SecretStr(SECRET), login_burst=10_000),
            SiteFacts("1.2.3", ()),
            clone_registry(),
            database,
            runtime,
            lifecycles,
            hub,
            passwords=cheap_passwords(),
        )
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", ws="websockets-sansio"
        )
        server = uvicorn.Server(config)
        site = Site(app, database, lifecycles)
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        holder.append((server, LiveSite(host, site, asyncio.get_running_loop())))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.005)
        started.set()
        await task
        await site.close()
        hub.end_streams()
        await hub.close()
        await runtime.close()
        await database.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="live-site")
    thread.start()
    assert started.wait(30), "the site did not start"
    server, live = holder[0]
    try:
        yield live
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
