"""Passes a call on to the real provider, with the site's key, and its answer back unchanged."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import aiohttp
import structlog
from pydantic import SecretStr
from yarl import URL

from cattery.catalog import ModelFamily
from cattery.errors import BadRequestError
from cattery.settings import ANTHROPIC_API, OPENAI_API, GatewaySettings
from gateway.endpoints import Endpoint, Operation
from gateway.failures import (
    BASE_VARIABLES,
    CutOffError,
    KeyRefusedError,
    NoKeyError,
    RedirectedError,
    StalledError,
    UnreachableError,
)
from gateway.headers import client_headers, upstream_headers
from gateway.model_port import ModelCall
from gateway.replies import Reply

log = structlog.stdlib.get_logger(__name__)

CONNECT_SECONDS = 10
MAX_WHOLE_ANSWER_BYTES = 64 * 1024 * 1024
"""An answer that is no stream is read whole before it is passed on, up to this."""

_EVENT_STREAM: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Provider:
    """Where one family's models are, and the key to them."""

    family: ModelFamily
    base: str
    """With the API's version: operations are appended as they are."""
    key: SecretStr | None
    is_configured: bool
    """Whether there is a key, or an address of the operator's own that may need none."""


def providers_of(settings: GatewaySettings) -> dict[ModelFamily, Provider]:
    """Read the two providers out of the settings.

    `ANTHROPIC_BASE_URL` is without the version and `OPENAI_BASE_URL` with it, as is the custom.

    Raises:
        BadRequestError: an address is not one of http or https.
    """
    anthropic, openai = settings.anthropic_base_url, settings.openai_base_url
    found = (
        _provider(ModelFamily.ANTHROPIC, anthropic, ANTHROPIC_API, settings.anthropic_api_key),
        _provider(ModelFamily.OPENAI, openai, OPENAI_API, settings.openai_api_key),
    )
    return {provider.family: provider for provider in found}


def open_session() -> aiohttp.ClientSession:
    """Open the client that speaks to providers: no proxies, cookies or DNS memory of its own."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, use_dns_cache=False),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        trust_env=False,
        skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
    )


class UpstreamModel:
    """The models of the configured providers."""

    def __init__(self, settings: GatewaySettings, session: aiohttp.ClientSession) -> None:
        self._providers = providers_of(settings)
        self._idle_seconds = settings.upstream_idle_timeout.total_seconds()
        self._session = session

    async def answer(self, call: ModelCall, reply: Reply) -> None:
        """Pass the call on; a stream is passed back chunk by chunk, anything else whole.

        Raises:
            NoKeyError: this family is not set up while the other is.
            UnreachableError: no connection, or it broke before the answer.
            KeyRefusedError: the provider refused the site's key.
            RedirectedError: the provider redirects.
            StalledError: the provider went silent (raised through the exchange).
            CutOffError: the stream broke off.
        """
        provider = self._providers[call.endpoint.family]
        if not provider.is_configured:
            raise NoKeyError(provider.family)
        stalled = StalledError(provider.family, self._idle_seconds)
        call.exchange.expect(self._idle_seconds, stalled)
        async with await self._request(provider, call) as upstream:
            _refuse_unusable(provider, upstream.status)
            if upstream.content_type == _EVENT_STREAM:
                await reply.start(upstream.status, client_headers(upstream.headers))
                async for chunk in self._chunks(provider, call, upstream):
                    await reply.write(chunk)
                await reply.finish()
                _check_complete(call.endpoint, reply)
            else:
                body = b"".join([c async for c in self._chunks(provider, call, upstream)])
                if upstream.status >= 400:
                    body = _without_key(body, provider.key)
                reply.send(upstream.status, client_headers(upstream.headers), body)

    async def _request(self, provider: Provider, call: ModelCall) -> aiohttp.ClientResponse:
        try:
            return await self._session.request(
                "GET" if call.endpoint.operation is Operation.MODELS else "POST",
                _upstream_url(provider, call.endpoint),
                data=call.body or None,
                headers=upstream_headers(provider.family, call.headers, provider.key),
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError) as error:
            log.warning("upstream_unreachable", family=provider.family, error=type(error).__name__)
            raise UnreachableError(provider.family) from None

    async def _chunks(
        self, provider: Provider, call: ModelCall, upstream: aiohttp.ClientResponse
    ) -> AsyncIterator[bytes]:
        """Yield what arrives as it arrives; every chunk has the idle timeout to come."""
        stalled = StalledError(provider.family, self._idle_seconds)
        is_stream = upstream.content_type == _EVENT_STREAM
        total = 0
        while True:
            call.exchange.expect(self._idle_seconds, stalled)
            try:
                chunk = await upstream.content.readany()
            except (aiohttp.ClientError, OSError) as error:
                log.warning("upstream_cut_off", family=provider.family, error=type(error).__name__)
                raise CutOffError(provider.family) from None
            if not chunk:
                return
            total += len(chunk)
            if not is_stream and total > MAX_WHOLE_ANSWER_BYTES:
                raise CutOffError(provider.family)
            yield chunk


def _provider(family: ModelFamily, base: str, default: str, key: SecretStr | None) -> Provider:
    base = base.strip().rstrip("/")
    if URL(base).scheme not in {"http", "https"} or not URL(base).host:
        raise BadRequestError(
            f"{BASE_VARIABLES[family]} is not an http or https address. Correct it, or unset it to "
            f"use {default}."
        )
    has_key = key is not None and bool(key.get_secret_value())
    return Provider(
        family=family,
        base=f"{base.removesuffix('/v1')}/v1" if family is ModelFamily.ANTHROPIC else base,
        key=key if has_key else None,
        is_configured=has_key or base != default,
    )


def _upstream_url(provider: Provider, endpoint: Endpoint) -> URL:
    query = f"?{endpoint.query}" if endpoint.query else ""
    return URL(f"{provider.base}/{endpoint.path}{query}", encoded=True)


def _refuse_unusable(provider: Provider, status: int) -> None:
    """Replace the answers that only the operator can do something about.

    A provider's own words on a refused key may quote parts of it, so they go nowhere.
    """
    if status in {401, 403}:
        log.error("upstream_key_refused", family=provider.family, status=status)
        raise KeyRefusedError(provider.family, status)
    if 300 <= status < 400:
        log.error("upstream_redirected", family=provider.family, status=status)
        raise RedirectedError(provider.family)


def _check_complete(endpoint: Endpoint, reply: Reply) -> None:
    """Tell a stream that ended from one that a proxy on the way cut off in good order.

    Only Anthropic's streams always say that they are complete; OpenAI's imitators differ.
    """
    if endpoint.operation is not Operation.MESSAGES:
        return
    if b"message_stop" not in reply.tail and b"event: error" not in reply.tail:
        raise CutOffError(endpoint.family)


def _without_key(body: bytes, key: SecretStr | None) -> bytes:
    return body.replace(key.get_secret_value().encode(), b"[key]") if key else body
