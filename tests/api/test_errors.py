"""Every error is one clear sentence as JSON, and tells nothing of our insides."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter
from pydantic import SecretStr

from cattery.db.engine import connect
from cattery.settings import DatabaseSettings
from tests.api.conftest import BuildApp
from tests.api.site import API, Person, Site, refused

JSON = {"Content-Type": "application/json"}


async def test_unknown_routes_are_not_found(anonymous: httpx.AsyncClient) -> None:
    for method, path in (
        ("GET", f"{API}/nothing"),
        ("POST", f"{API}/projects/"),
        ("GET", f"{API}/auth/me/"),
        ("POST", "/elsewhere"),
        ("DELETE", "/"),
        ("GET", "/api"),
        ("GET", "/api/v2/projects"),
    ):
        refused(await anonymous.request(method, path), 404)


async def test_unknown_methods_are_named_with_those_that_are_allowed(
    anonymous: httpx.AsyncClient,
) -> None:
    answer = await anonymous.put(f"{API}/projects")
    refused(answer, 405, "GET, POST")
    assert answer.headers["Allow"] == "GET, POST"
    answer = await anonymous.patch(f"{API}/auth/me")
    refused(answer, 405)
    assert answer.headers["Allow"] == "GET"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"12",
        b'{"project_name": "x"',
        b'{"project_name": "\xff\xfe"}',
        b'{"project_name": "\\ud800"}',
        b'{"project_name": "\\u0000"}',
        b'{"project_name": ' + b"[" * 100_000,
        b'{"project_name": ' + b"9" * 10_000 + b"}",
        b'{"project_name": NaN}',
    ],
)
async def test_bodies_that_are_not_what_they_should_be_are_refused(
    ada: Person, body: bytes
) -> None:
    refused(await ada.call("POST", "/projects", content=body, headers=JSON), 400)


async def test_a_body_of_another_type_is_refused(ada: Person) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    refused(await ada.call("POST", "/projects", content=b"project_name=x", headers=form), 400)


async def test_a_body_without_a_type_is_taken_as_json(ada: Person) -> None:
    answer = await ada.call("POST", "/projects", content=b'{"project_name": "x"}')
    assert answer.status_code == 201


async def test_nul_in_a_query_is_refused(ada: Person) -> None:
    refused(await ada.get("/users/search?q=%00"), 400)
    assert (await ada.get("/users/search?q=%ff%fe")).status_code == 200


async def test_a_body_over_the_limit_is_refused_announced_or_not(ada: Person) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 65_536

    huge = b" " * (1024 * 1024 + 1)
    refused(await ada.call("POST", "/projects", content=huge, headers=JSON), 413, "1,048,576")
    refused(await ada.call("POST", "/projects", content=endless(), headers=JSON), 413)


async def test_every_answer_names_its_request(ada: Person) -> None:
    first = (await ada.get("/auth/me")).headers["X-Request-Id"]
    second = (await ada.get("/nothing")).headers["X-Request-Id"]
    assert first != second
    assert len(first) == 32


async def test_what_nobody_foresaw_tells_only_a_request_id(
    build_app: BuildApp, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    app = build_app()
    broken = APIRouter()

    @broken.get(f"{API}/broken")
    async def break_down() -> None:
        raise ZeroDivisionError("the secret of our insides")

    app.include_router(broken)
    client = Site(app, site.database, site.lifecycles).client(headers={"Origin": "https://a.test"})
    async with client:
        answer = await client.get(f"{API}/broken")
    refused(answer, 500, answer.headers["X-Request-Id"])
    assert "secret" not in answer.text
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "request_failed" in [record.msg for record in caplog.records]


async def test_without_postgresql_the_answer_is_503_and_readyz_says_so(
    build_app: BuildApp, site: Site, ada: Person
) -> None:
    away = connect(DatabaseSettings(url=SecretStr("postgresql://nobody@127.0.0.1:9/none")))
    app = build_app(database=away)
    async with Site(app, away, site.lifecycles).client() as client:
        bearer = {"Authorization": f"Bearer {ada.token}"}
        refused(await client.get(f"{API}/projects", headers=bearer), 503, "database")
        login = {"username": "ada", "password": "whatever it is"}
        refused(await client.post(f"{API}/auth/login", json=login), 503)
        assert (await client.get("/healthz")).status_code == 200
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (
            503,
            {"status": "unavailable", "missing": ["database"]},
        )
    await away.close()


async def test_readyz_names_every_part_that_is_missing(build_app: BuildApp, site: Site) -> None:
    async def fail() -> None:
        raise RuntimeError("no")

    async def hang() -> None:
        await asyncio.Event().wait()

    async def pass_() -> None:
        return

    for checks, missing in (
        ({"temporal": pass_}, []),
        ({"temporal": fail, "gateway": hang}, ["temporal", "gateway"]),
    ):
        app = build_app(checks=checks)
        async with Site(app, site.database, site.lifecycles).client() as client:
            answer = await client.get("/readyz")
        assert answer.json()["missing"] == missing
        assert answer.status_code == (503 if missing else 200)


async def test_the_access_log_has_paths_but_neither_queries_nor_probes(
    site: Site, ada: Person, anonymous: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await anonymous.get(f"{API}/auth/me", params={"token": ada.token})
    await anonymous.get("/healthz")
    await anonymous.get("/readyz")
    logged = [record for record in caplog.records if record.name == "api.access"]
    assert [(r.__dict__["path"], r.__dict__["status"]) for r in logged] == [(f"{API}/auth/me", 401)]
    own = [r for r in caplog.records if not r.name.startswith("httpx")]
    assert ada.token not in json.dumps([r.__dict__ for r in own], default=str)
