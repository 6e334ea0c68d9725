"""Who gets through the gateway, to which paths, and what of them arrives at the provider."""

import json

import pytest

from cattery.auth.sandbox_tokens import new_token
from gateway.exchanges import MAX_OPEN_PER_SANDBOX
from tests.unit.gateway_support import (
    ANTHROPIC_KEY,
    OPENAI_KEY,
    event_stream,
    fall_silent,
    running_site,
    send_raw,
)


async def test_a_forged_revoked_or_missing_token_is_a_401_in_the_providers_shape() -> None:
    async with running_site() as site:
        revoked = site.tokens.issue()
        site.tokens.revoke(revoked)
        for token in (new_token(), revoked, "sk-ant-something", "ctk_short"):
            async with site.client.post(
                f"{site.url}/anthropic/v1/messages", headers={"x-api-key": token}, data=b"{}"
            ) as answer:
                assert answer.status == 401
                body = await answer.json()
                assert body["type"] == "error"
                assert body["error"]["type"] == "authentication_error"
                assert "Start the sandbox again" in body["error"]["message"]
        async with site.client.post(f"{site.url}/openai/v1/responses", data=b"{}") as answer:
            assert answer.status == 401
            assert (await answer.json())["error"]["code"] == "bad_token"
        assert site.provider.received == []


async def test_a_token_revoked_between_two_requests_is_refused_once_the_memory_ends() -> None:
    async with running_site() as site:
        async with site.post() as answer:
            assert answer.status == 200
        site.tokens.revoke(site.token)
        status = 200
        while status == 200:
            async with site.post() as answer:
                status = answer.status
        assert status == 401


@pytest.mark.parametrize(
    "headers",
    [
        "x-api-key: {mine}\r\nx-api-key: {mine}\r\n",
        "x-api-key: {mine}\r\nX-API-Key: {other}\r\n",
        "Authorization: Bearer {mine}\r\nauthorization: Bearer {mine}\r\n",
        "Authorization: Bearer {other}\r\nx-api-key: {mine}\r\n",
    ],
)
async def test_several_credentials_are_refused(headers: str) -> None:
    async with running_site() as site:
        request = (
            "POST /anthropic/v1/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"{headers.format(mine=site.token, other=site.tokens.issue())}"
            "Content-Length: 2\r\n\r\n{}"
        )
        answer = await send_raw(site.port, request.encode())
        assert b" 400 " in answer.splitlines()[0]
        assert site.provider.received == []


async def test_the_same_token_in_both_headers_is_one_credential() -> None:
    async with running_site() as site:
        headers = {"x-api-key": site.token, "Authorization": f"Bearer {site.token}"}
        async with site.client.post(
            f"{site.url}/openai/v1/chat/completions", headers=headers, data=b"{}"
        ) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    "target",
    [
        "/v1/messages",
        "/anthropic/v1/files",
        "/anthropic/v1/messages/",
        "/anthropic/v1//messages",
        "/anthropic/v1/messages/batches",
        "/anthropic/v1/..%2fmessages",
        "/anthropic/v1/%2e%2e/v1/messages",
        "/anthropic/v1/../v1/messages",
        "/anthropic/v1/mess%61ges",
        "/anthropic/v1/messages%2fcount_tokens",
        "/anthropic/v1/messages?x=%0d%0a",
        "/anthropic/v1/messages?redirect=http://127.0.0.1/",
        "/anthropic/v1/responses",
        "/openai/v1/messages",
        "/openai/v1/embeddings",
        "/openai/v1/chat/completions;x=1",
        "/OPENAI/v1/responses",
        "http://127.0.0.1:1/anthropic/v1/messages",
        "//anthropic/v1/messages",
        "*",
    ],
)
async def test_anything_but_the_exact_paths_is_a_404(target: str) -> None:
    async with running_site() as site:
        request = (
            f"POST {target} HTTP/1.1\r\nHost: x\r\nx-api-key: {site.token}\r\n"
            "Content-Length: 2\r\nConnection: close\r\n\r\n{}"
        )
        answer = await send_raw(site.port, request.encode())
        assert answer.split(b" ")[1] in {b"400", b"404"}
        assert site.provider.received == []


@pytest.mark.parametrize(
    "target",
    [
        "/openai/v1/models/../files",
        "/openai/v1/models/..%2ffiles",
        "/openai/v1/models/a/b",
        "/openai/v1/models/.hidden",
        "/openai/v1/models/a..b",
        "/openai/v1/models/" + "a" * 300,
        "/openai/v1/models?x=" + "a" * 300,
    ],
)
async def test_a_model_id_is_one_plain_segment(target: str) -> None:
    async with running_site() as site:
        request = (
            f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nx-api-key: {site.token}"
        )
        answer = await send_raw(site.port, f"{request}\r\n\r\n".encode())
        assert b" 404 " in answer.splitlines()[0]
        assert site.provider.received == []


async def test_unknown_paths_and_methods_are_answered_at_once_without_a_token() -> None:
    async with running_site() as site:
        for method, path in (("GET", "/props"), ("GET", "/api/tags"), ("HEAD", "/api/hello")):
            async with site.client.request(method, site.url + path) as answer:
                assert answer.status == 404
        async with site.client.get(f"{site.url}/anthropic/v1/messages") as answer:
            assert answer.status == 404
            assert (await answer.json())["error"]["type"] == "not_found_error"


async def test_healthz_needs_no_token() -> None:
    async with running_site() as site, site.client.get(f"{site.url}/healthz") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("method", "path", "upstream"),
    [
        ("POST", "/anthropic/v1/messages?beta=true", "/v1/messages?beta=true"),
        ("POST", "/anthropic/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("GET", "/anthropic/v1/models?limit=5", "/v1/models?limit=5"),
        ("GET", "/anthropic/v1/models/claude-opus-4-7", "/v1/models/claude-opus-4-7"),
        ("POST", "/openai/v1/chat/completions", "/v1/chat/completions"),
        ("POST", "/openai/v1/responses", "/v1/responses"),
        ("GET", "/openai/v1/models", "/v1/models"),
        ("GET", "/openai/v1/models/gpt-5.5", "/v1/models/gpt-5.5"),
    ],
)
async def test_each_endpoint_maps_to_one_upstream_path(
    method: str, path: str, upstream: str
) -> None:
    async with running_site() as site:
        headers = {"Authorization": f"Bearer {site.token}"}
        data = b'{"a":1}' if method == "POST" else None
        async with site.client.request(
            method, site.url + path, headers=headers, data=data
        ) as answer:
            assert answer.status == 200
        [received] = site.provider.received
        assert (received.method, received.target) == (method, upstream)
        assert received.body == (data or b"")


async def test_only_harmless_headers_and_the_sites_key_reach_the_provider() -> None:
    async with running_site() as site:
        headers = {
            "x-api-key": site.token,
            "Authorization": f"Bearer {site.token}",
            "Api-Key": "azure",
            "Proxy-Authorization": "Basic x",
            "Cookie": "session=1",
            "X-Forwarded-For": "10.0.0.1",
            "Forwarded": "for=10.0.0.1",
            "OpenAI-Organization": "org-other",
            "Accept-Encoding": "gzip, br",
            "TE": "trailers",
            "anthropic-beta": "interleaved-thinking",
            "anthropic-version": "2024-01-01",
            "User-Agent": "opencode/1",
            "Content-Type": "application/json",
        }
        for family in ("anthropic/v1/messages", "openai/v1/responses"):
            async with site.client.post(
                f"{site.url}/{family}", headers=headers, data=b"{}"
            ) as answer:
                assert answer.status == 200
        to_anthropic, to_openai = (
            {name.lower(): value for name, value in r.headers} for r in site.provider.received
        )
        host = site.provider.url.removeprefix("http://")
        passed = {
            "host": host,
            "accept": "*/*",
            "accept-encoding": "identity",
            "anthropic-beta": "interleaved-thinking",
            "anthropic-version": "2024-01-01",
            "content-length": "2",
            "content-type": "application/json",
            "user-agent": "opencode/1",
        }
        assert to_anthropic == {**passed, "x-api-key": ANTHROPIC_KEY}
        assert to_openai == {**passed, "authorization": f"Bearer {OPENAI_KEY}"}
        assert site.token not in site.provider.everything


async def test_the_providers_cookies_and_account_do_not_reach_the_sandbox() -> None:
    async with running_site() as site, site.post() as answer:
        assert answer.status == 200
        assert answer.headers["request-id"] == "req_1"
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["Server"] == "cattery-gateway"


async def test_one_sandbox_cannot_hold_more_than_its_share_of_requests() -> None:
    async with running_site() as site:
        site.provider.behaviour = event_stream(b": hi\n\n", then=fall_silent)
        held = [await site.post() for _ in range(MAX_OPEN_PER_SANDBOX)]
        async with site.post() as answer:
            assert answer.status == 429
            assert answer.headers["Retry-After"] == "1"
            assert (await answer.json())["error"]["type"] == "rate_limit_error"
        site.token = site.tokens.issue()
        async with site.post() as answer:
            assert answer.status == 200
        for response in held:
            response.close()


async def test_no_key_token_or_prompt_is_ever_logged_or_answered(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    prompt = "canary-prompt-77aa"
    seen = []
    async with running_site() as site:
        async with site.post(body={"messages": prompt}) as answer:
            seen.append(str(answer.headers) + await answer.text())
        async with site.post("/anthropic/v1/nothing") as answer:
            seen.append(str(answer.headers) + await answer.text())
        bad = f"POST / HTTP/1.1\r\nHost: x\r\nx-api-key {site.token}\r\n\r\n"
        seen.append((await send_raw(site.port, bad.encode())).decode())
        token = site.token
        assert prompt in site.provider.everything
    captured = capfd.readouterr()
    logged = caplog.text + captured.out + captured.err
    logged += json.dumps([str(record.__dict__) for record in caplog.records])
    for secret in (ANTHROPIC_KEY, OPENAI_KEY, token, prompt):
        assert secret not in logged
    assert not any(ANTHROPIC_KEY in text or OPENAI_KEY in text for text in seen)
