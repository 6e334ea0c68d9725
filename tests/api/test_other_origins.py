"""A UI from another origin can use the API, and reads errors too."""

import httpx
import pytest

from tests.api.conftest import BuildApp
from tests.api.site import API, Person, Site, refused

ORIGIN = {"Origin": "https://ui.test"}


async def test_every_answer_may_be_read_by_any_origin(
    ada: Person, anonymous: httpx.AsyncClient
) -> None:
    answers = [
        await ada.get("/projects", headers=ORIGIN),
        await ada.get("/nothing", headers=ORIGIN),
        await ada.call("PUT", "/projects", headers=ORIGIN),
        await ada.post("/projects", {"project_name": 5}, headers=ORIGIN),
        await anonymous.get(f"{API}/projects", headers=ORIGIN),
        await anonymous.get("/healthz"),
        await ada.call("POST", "/projects", content=b" " * 2_000_000, headers=ORIGIN),
    ]
    assert [a.status_code for a in answers] == [200, 404, 405, 400, 401, 200, 413]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("path", ["/projects", "/auth/login", "/nothing", "/projects/x/members"])
async def test_preflights_are_answered_without_signing_in(
    anonymous: httpx.AsyncClient, path: str
) -> None:
    asked = {
        **ORIGIN,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    answer = await anonymous.options(API + path, headers=asked)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST, PATCH, DELETE"
    allowed = answer.headers["Access-Control-Allow-Headers"]
    assert allowed.startswith("Authorization, Content-Type")


async def test_options_that_is_no_preflight_is_a_method_like_others(
    anonymous: httpx.AsyncClient,
) -> None:
    refused(await anonymous.options(f"{API}/projects"), 405)


async def test_a_site_may_name_the_origins(build_app: BuildApp, site: Site, ada: Person) -> None:
    app = build_app(allowed_origins="https://ui.test, https://other.test/")
    async with Site(app, site.database, site.lifecycles).client() as client:
        for origin, allowed in (
            ("https://ui.test", "https://ui.test"),
            ("https://other.test", "https://other.test"),
            ("https://evil.test", None),
        ):
            answer = await client.get(f"{API}/projects", headers={"Origin": origin})
            assert answer.headers.get("Access-Control-Allow-Origin") == allowed
            assert "Origin" in answer.headers["Vary"]
