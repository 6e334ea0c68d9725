"""The HTTP process on a filled database, and who reads from it with their rights."""

import random
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import aiohttp
import psutil
import psycopg

from cattery.auth.bootstrap import mint_token
from cattery.db.migrate import upgrade
from tests.bench.api_alone import running_api
from tests.bench.filled_log import FilledSession
from tests.bench.open_loop import open_client
from tests.processes import child_named

STREAM_PAGE = 500
TOKENS_LAST = timedelta(hours=6)

_PLACES = """
SELECT s.id, s.harness_id, h.project_id, u.username,
    count(*) OVER (PARTITION BY s.harness_id),
    (SELECT count(*) FROM harness x WHERE x.project_id = h.project_id)
FROM session s JOIN harness h ON h.id = s.harness_id JOIN project p ON p.id = h.project_id
JOIN app_user u ON u.id = p.owner_user_id
"""
_SEEN = """
SELECT u.username, count(*) FROM app_user u JOIN project p ON p.owner_user_id = u.id
    OR p.id IN (SELECT project_id FROM project_member m WHERE m.user_id = u.id)
GROUP BY u.username
"""


@dataclass(frozen=True)
class Place:
    """A session, where it is, whose, and what the lists that it is in hold."""

    session: FilledSession
    harness_id: UUID
    project_id: UUID
    owner: str
    sessions_of_harness: int
    harnesses_of_project: int
    projects_of_owner: int


@dataclass
class FilledSite:
    """A database that was filled, and how to sign in to it."""

    url: str
    secret: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    places: list[Place] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict, repr=False)

    def migrate(self) -> None:
        """Make the tables."""
        upgrade(self.url)

    async def read(self, filled: Sequence[FilledSession]) -> None:
        """Look up where the sessions are, and sign their owners in."""
        by_id = {each.session_id: each for each in filled}
        with psycopg.connect(self.url) as connection:
            seen: dict[str, int] = dict(connection.execute(_SEEN).fetchall())
            rows = connection.execute(_PLACES).fetchall()
        self.places = [
            Place(by_id[row[0]], row[1], row[2], row[3], row[4], row[5], seen[row[3]])
            for row in rows
        ]
        for owner in {place.owner for place in self.places}:
            token = await mint_token(self.url, self.secret, owner, lifetime=TOKENS_LAST)
            self.tokens[owner] = token


@dataclass
class Reader:
    """Reads as the owners of random sessions, and checks what comes."""

    site: FilledSite
    base_url: str
    http: aiohttp.ClientSession
    processes: dict[str, psutil.Process]
    chance: random.Random = field(default_factory=random.Random)
    by_kind: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """How long each kind of list took, from when it was sent."""

    async def read_history(self, _: int) -> None:
        """Read a whole conversation."""
        place = self._choose()
        body = await self._get(place, f"/sessions/{place.session.session_id}/history")
        found = body.count(b'"role":"user"')
        assert found == place.session.turns, f"{found} of {place.session.turns} prompts came"

    async def read_events(self, _: int) -> None:
        """Read the newest events of a stream, as a page that is opened does."""
        place = self._choose()
        last = place.session.last_seq
        after = max(0, last - STREAM_PAGE)
        url = f"{self.base_url}/sessions/{place.session.session_id}/events?after={after}"
        end, seen = b"id: %d\n" % last, b""
        async with self.http.get(url, headers=self._headers(place)) as answer:
            assert answer.status == 200, f"events: {answer.status}"
            async for chunk in answer.content.iter_any():
                seen += chunk
                if end in seen and seen.endswith(b"\n\n"):
                    break
            answer.close()
        numbers = [int(row[4:]) for row in seen.split(b"\n") if row.startswith(b"id: ")]
        assert numbers == [*range(after + 1, last + 1)], f"{len(numbers)} of {last - after} events"

    async def read_list(self, number: int) -> None:
        """Read projects, a project's harnesses or a harness's sessions, in turn."""
        place = self._choose()
        kind, path, marker, wanted = (
            ("projects", "/projects", b'"project_name"', place.projects_of_owner),
            (
                "harnesses",
                f"/projects/{place.project_id}/harnesses",
                b'"harness_name"',
                place.harnesses_of_project,
            ),
            (
                "sessions",
                f"/harnesses/{place.harness_id}/sessions",
                b'"session_id"',
                place.sessions_of_harness,
            ),
        )[number % 3]
        began = time.monotonic()
        body = await self._get(place, path)
        self.by_kind[kind].append(time.monotonic() - began)
        assert body.count(marker) == wanted, f"{body.count(marker)} of {wanted} {kind} came"

    async def _get(self, place: Place, path: str) -> bytes:
        async with self.http.get(self.base_url + path, headers=self._headers(place)) as answer:
            body = await answer.read()
            assert answer.status == 200, f"{path}: {answer.status} {body[:200]!r}"
            return body

    def _choose(self) -> Place:
        return self.chance.choice(self.site.places)

    def _headers(self, place: Place) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.site.tokens[place.owner]}"}


@asynccontextmanager
async def reading(site: FilledSite, folder: Path) -> AsyncIterator[Reader]:
    """Run the HTTP process on a filled database."""
    async with (
        open_client() as http,
        running_api(folder, site.url, site.secret, http) as (api, base_url),
    ):
        processes = {"api": api.process, "postgres": child_named("postgres")}
        yield Reader(site, base_url, http, processes)
