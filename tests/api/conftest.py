"""The site that API tests run against, built once; its tables are empty before each test."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from api.app import create_app
from api.site import SiteFacts, describe_harness_types
from cattery.db.engine import Database, connect
from cattery.events.hub import StreamHub
from cattery.sandboxes.factory import create_local_runtime
from cattery.settings import ApiSettings, DatabaseSettings, HomeSettings, SandboxSettings
from tests.api.site import SECRET, Person, RecordedLifecycles, Site, cheap_passwords
from tests.api.watching import Watchers, open_session, watching
from tests.harness_types import clone_registry

type BuildApp = Callable[..., FastAPI]


@pytest.fixture(scope="session")
async def site_database(database_url: str) -> AsyncIterator[Database]:
    database = connect(DatabaseSettings(url=SecretStr(database_url)))
    yield database
    await database.close()


@pytest.fixture(scope="session")
async def build_app(
    site_database: Database, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[BuildApp]:
    """Build further apps on the same parts, with other settings."""
    home = tmp_path_factory.mktemp("home")
    hub = StreamHub(database_url)
    await hub.start()
    runtime = create_local_runtime(HomeSettings(home=home), SandboxSettings(), clone_registry())
    facts = SiteFacts(
        version="1.2.3",
        harness_types=describe_harness_types(clone_registry(), tools=None),
        demo_model=True,
        demo_hint="No model is configured.",
    )
    passwords = cheap_passwords()

    def build(
        lifecycles: RecordedLifecycles | None = None,
        *,
        database: Database = site_database,
        checks: object = None,
        **settings: object,
    ) -> FastAPI:
        return create_app(
            ApiSettings.model_validate({"jwt_secret": SECRET, **settings}),
            facts,
            clone_registry(),
            database,
            runtime,
            lifecycles or RecordedLifecycles(),
            hub,
            passwords=passwords,
            checks=checks,  # type: ignore[arg-type]
        )

    yield build
    hub.end_streams()
    await hub.close()
    await runtime.close()


@pytest.fixture(scope="session")
def built_site(build_app: BuildApp, site_database: Database) -> Site:
    lifecycles = RecordedLifecycles()
    return Site(build_app(lifecycles), site_database, lifecycles)


@pytest.fixture
async def site(built_site: Site) -> AsyncIterator[Site]:
    lifecycles = built_site.lifecycles
    lifecycles.__init__()  # type: ignore[misc]
    fresh = Site(built_site.app, built_site.database, lifecycles)
    yield fresh
    await fresh.close()


@pytest.fixture
async def anonymous(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with site.client() as client:
        yield client


@pytest.fixture
async def ada(site: Site) -> Person:
    return await site.sign_up("ada")


@pytest.fixture
async def bob(site: Site) -> Person:
    return await site.sign_up("bob")


@pytest.fixture
async def root(site: Site) -> Person:
    return await site.sign_up("root", is_admin=True)


@pytest.fixture
def web_dist(tmp_path: Path) -> Path:
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<title>Cattery</title>")
    (dist / "assets" / "app-1a2b3c.js").write_text("plain")
    (dist / "assets" / "app-1a2b3c.js.br").write_text("br")
    (dist / "assets" / "app-1a2b3c.js.gz").write_text("gz")
    return dist


@pytest.fixture
async def watchers(site: Site) -> AsyncIterator[Watchers]:
    """The site on a socket, and whoever watches its streams."""
    async with watching(site) as made:
        yield made


@pytest.fixture
async def session_id(ada: Person) -> str:
    """A session of Ada's."""
    return await open_session(ada)
