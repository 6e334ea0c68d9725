"""Signing in, staying signed in, and no longer being signed in."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import httpx
import jwt
import pytest
from sqlalchemy import text

from cattery.clock import utc_now
from cattery.ids import UserId, parse_id
from tests.api.conftest import BuildApp
from tests.api.site import API, SECRET, Person, Site, refused

PASSWORD = "correct horse battery"


async def log_in(client: httpx.AsyncClient, **body: object) -> httpx.Response:
    return await client.post(f"{API}/auth/login", json=body)


async def test_a_name_and_password_give_a_token_that_works(site: Site) -> None:
    ada = await site.sign_up("ada", password=PASSWORD)
    async with site.client(address="198.51.100.1") as client:
        answer = await log_in(client, username="  ADA ", password=PASSWORD)
        user = {"user_id": ada.user_id, "username": "ada", "is_admin": False}
        assert answer.status_code == 200
        assert answer.json()["user"] == user
        bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
        client.cookies.clear()
        assert (await client.get(f"{API}/auth/me", headers=bearer)).json() == user


async def test_signing_in_is_remembered_as_last_login(site: Site, root: Person) -> None:
    await site.sign_up("ada", password=PASSWORD)
    async with site.client(address="198.51.100.2") as client:
        await log_in(client, username="ada", password=PASSWORD)
    seen = {u["username"]: u["last_login_at"] for u in (await root.get("/admin/users")).json()}
    assert seen["ada"] is not None
    assert seen["root"] is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": "ada"},
        {"password": PASSWORD},
        {"username": "", "password": PASSWORD},
        {"username": "ada", "password": ""},
        {"username": None, "password": None},
        {"username": ["ada"], "password": 12345678},
    ],
)
async def test_without_a_name_or_password_is_a_bad_request(
    anonymous: httpx.AsyncClient, body: dict[str, object]
) -> None:
    answer = await log_in(anonymous, **body)
    refused(answer, 400)
    assert PASSWORD not in answer.text


async def test_a_wrong_password_and_an_unknown_name_get_the_same_words(site: Site) -> None:
    await site.sign_up("ada", password=PASSWORD)
    async with site.client(address="198.51.100.3") as client:
        wrong = await log_in(client, username="ada", password="something else")
        unknown = await log_in(client, username="nobody", password=PASSWORD)
        absurd = await log_in(client, username="ada", password=PASSWORD + "x" * 2_000)
    refused(wrong, 401)
    assert wrong.json() == unknown.json() == absurd.json()


async def test_a_sixth_try_at_once_has_to_wait(site: Site) -> None:
    async with site.client(address="198.51.100.4") as client:
        for _ in range(5):
            refused(await log_in(client, username="ada", password="wrong wrong"), 401)
        limited = await log_in(client, username="ada", password="wrong wrong")
    refused(limited, 429)
    assert 1 <= int(limited.headers["Retry-After"]) <= 12


async def test_a_forged_forwarded_address_does_not_get_around_the_limit(site: Site) -> None:
    statuses = []
    async with site.client(address="198.51.100.5") as client:
        for n in range(7):
            client.headers["X-Forwarded-For"] = f"192.0.2.{n}"
            statuses.append((await log_in(client, username="a", password="wrong")).status_code)
    assert statuses == [401] * 5 + [429] * 2


async def test_behind_a_trusted_proxy_each_client_has_its_own_limit(
    site: Site, build_app: BuildApp
) -> None:
    behind_proxy = Site(build_app(trusted_proxies="10.0.0.0/8"), site.database, site.lifecycles)
    async with behind_proxy.client(address="10.1.2.3") as client:
        for n in range(7):
            client.headers["X-Forwarded-For"] = f"192.0.2.{n}"
            refused(await log_in(client, username="a", password="wrong"), 401)


async def test_an_ipv6_client_cannot_hop_within_its_network(site: Site) -> None:
    statuses = []
    for n in range(6):
        async with site.client(address=f"2001:db8:1:2::{n + 1:x}") as client:
            statuses.append((await log_in(client, username="a", password="wrong")).status_code)
    assert statuses == [401] * 5 + [429]


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer x.y.z", "Basic YWRhOmFkYQ==", "Bearer " + "é" * 3]
)
async def test_no_token_or_nonsense_is_not_signed_in(
    anonymous: httpx.AsyncClient, header: str
) -> None:
    headers = {"Authorization": header.encode()}
    refused(await anonymous.get(f"{API}/auth/me", headers=headers), 401)  # type: ignore[arg-type]


def claims_of(person: Person) -> dict[str, object]:
    claims: dict[str, object] = jwt.decode(person.token, options={"verify_signature": False})
    return claims


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "another-api"},
        {"iss": "somebody"},
        {"typ": "refresh"},
        {"exp": utc_now() - timedelta(seconds=40)},
        {"iat": utc_now() + timedelta(days=1)},
        {"iat": "now"},
        {"sid": str(uuid4())},
        {"sub": str(uuid4())},
        {"sid": "not a uuid"},
        {"sid": 7},
        *({name: None} for name in ("aud", "iss", "typ", "exp", "iat", "sid", "sub")),
    ],
)
async def test_a_token_that_is_not_exactly_ours_is_refused(
    site: Site, ada: Person, anonymous: httpx.AsyncClient, change: dict[str, object]
) -> None:
    claims = {k: v for k, v in {**claims_of(ada), **change}.items() if v is not None}
    forged = jwt.encode(claims, SECRET, algorithm="HS256")
    bearer = {"Authorization": f"Bearer {forged}"}
    refused(await anonymous.get(f"{API}/auth/me", headers=bearer), 401)


async def test_a_token_of_an_api_whose_clock_is_ten_minutes_ahead_counts(
    site: Site, ada: Person, anonymous: httpx.AsyncClient
) -> None:
    claims = claims_of(ada) | {"iat": utc_now() + timedelta(minutes=9, seconds=50)}
    early = jwt.encode(claims, SECRET, algorithm="HS256")
    answer = await anonymous.get(f"{API}/auth/me", headers={"Authorization": f"Bearer {early}"})
    assert answer.status_code == 200


async def test_a_token_under_another_secret_or_without_one_is_refused(
    ada: Person, anonymous: httpx.AsyncClient
) -> None:
    for key, algorithm in (("another secret of thirty-two bytes!", "HS256"), (None, "none")):
        forged = jwt.encode(claims_of(ada), key, algorithm=algorithm)
        bearer = {"Authorization": f"Bearer {forged}"}
        refused(await anonymous.get(f"{API}/auth/me", headers=bearer), 401)
    long_secret = SECRET * 2
    forged = jwt.encode(claims_of(ada), long_secret, algorithm="HS512")
    bearer = {"Authorization": f"Bearer {forged}"}
    refused(await anonymous.get(f"{API}/auth/me", headers=bearer), 401)


async def test_the_token_in_a_query_counts_only_where_the_contract_says(
    ada: Person, anonymous: httpx.AsyncClient
) -> None:
    project = await ada.make_project()
    session = await ada.make_session(await ada.make_harness(project))
    export = f"{API}/sessions/{session['session_id']}/export"
    assert (await anonymous.get(export, params={"token": ada.token})).status_code == 200
    for path in ("/auth/me", "/projects", f"/projects/{project['project_id']}/files/list"):
        refused(await anonymous.get(API + path, params={"token": ada.token, "path": "/"}), 401)


async def test_a_demotion_counts_for_tokens_from_before(site: Site, root: Person) -> None:
    other = await site.sign_up("other", is_admin=True)
    assert (await other.get("/admin/users")).status_code == 200
    await root.patch(f"/admin/users/{other.user_id}", {"is_admin": False})
    refused(await other.get("/admin/users"), 403)
    assert (await other.get("/auth/me")).json()["is_admin"] is False


async def test_a_deleted_users_token_is_worth_nothing(ada: Person, root: Person) -> None:
    assert (await root.delete(f"/admin/users/{ada.user_id}")).status_code == 204
    refused(await ada.get("/auth/me"), 401)
    refused(await ada.get("/projects"), 401)


async def test_an_expired_sign_in_ends_its_token(site: Site, ada: Person) -> None:
    async with site.database.write() as session:
        await session.execute(text("UPDATE auth_session SET expires_at = now()"))
    refused(await ada.get("/auth/me"), 401)


async def test_signing_out_ends_this_token_only(site: Site, ada: Person) -> None:
    user_id = parse_id(ada.user_id)
    assert user_id is not None
    elsewhere = await site.sign_in("ada", UserId(user_id))
    assert (await ada.post("/auth/logout")).status_code == 204
    refused(await ada.get("/auth/me"), 401)
    assert (await elsewhere.get("/auth/me")).status_code == 200


async def test_changing_the_password_ends_every_other_token(site: Site) -> None:
    ada = await site.sign_up("ada", password=PASSWORD)
    user_id = parse_id(ada.user_id)
    assert user_id is not None
    elsewhere = await site.sign_in("ada", UserId(user_id))
    body = {"old_password": PASSWORD, "new_password": "a better one"}
    assert (await ada.post("/auth/change-password", body)).status_code == 204
    assert (await ada.get("/auth/me")).status_code == 200
    refused(await elsewhere.get("/auth/me"), 401)
    async with site.client(address="198.51.100.6") as client:
        refused(await log_in(client, username="ada", password=PASSWORD), 401)
        assert (await log_in(client, username="ada", password="a better one")).status_code == 200


async def test_a_wrong_old_password_is_forbidden_and_a_weak_new_one_bad(site: Site) -> None:
    ada = await site.sign_up("ada", password=PASSWORD)
    wrong = {"old_password": "not it at all", "new_password": "a better one"}
    refused(await ada.post("/auth/change-password", wrong), 403)
    for weak in ("seven77", "", "x" * 1_025):
        body = {"old_password": PASSWORD, "new_password": weak}
        refused(await ada.post("/auth/change-password", body), 400)
    eight = {"old_password": PASSWORD, "new_password": "eight888"}
    assert (await ada.post("/auth/change-password", eight)).status_code == 204


async def test_the_cookie_of_our_own_ui_is_out_of_reach_of_other_sites(site: Site) -> None:
    await site.sign_up("ada", password=PASSWORD)
    async with site.client(address="198.51.100.7") as client:
        cookie = (await log_in(client, username="ada", password=PASSWORD)).headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Path=/" in cookie
        assert "Secure" not in cookie
        assert (await client.get(f"{API}/auth/me")).status_code == 200
        project = {"project_name": "Cats"}
        for headers in (
            {},
            {"Origin": "https://evil.test"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site", "Origin": "http://cattery.test"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            answer = await client.post(f"{API}/projects", json=project, headers=headers)
            refused(answer, 403)
        for headers in ({"Origin": "http://cattery.test"}, {"Sec-Fetch-Site": "same-origin"}):
            answer = await client.post(f"{API}/projects", json=project, headers=headers)
            assert answer.status_code == 201
        own = {"Sec-Fetch-Site": "same-origin"}
        assert (await client.post(f"{API}/auth/logout", headers=own)).status_code == 204
        assert not client.cookies
        refused(await client.get(f"{API}/auth/me"), 401)


async def test_the_cookie_is_secure_over_https(site: Site) -> None:
    await site.sign_up("ada", password=PASSWORD)
    async with site.client(address="198.51.100.8") as client:
        client.base_url = httpx.URL("https://cattery.test")
        answer = await log_in(client, username="ada", password=PASSWORD)
    assert "Secure" in answer.headers["Set-Cookie"]


async def test_many_sign_ins_at_once_all_work(site: Site) -> None:
    await site.sign_up("ada", password=PASSWORD)

    async def one(n: int) -> int:
        async with site.client(address=f"198.18.0.{n}") as client:
            return (await log_in(client, username="ada", password=PASSWORD)).status_code

    assert set(await asyncio.gather(*(one(n) for n in range(20)))) == {200}
