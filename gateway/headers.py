"""Which headers cross the gateway, by allow-list in both directions, and whose credential they are.

An allow-list keeps out what nobody thought of: other providers' key headers, an organisation to
bill, cookies, forwarding headers, and on the way back the site's own account.
"""

from multidict import CIMultiDict, CIMultiDictProxy
from pydantic import SecretStr

from cattery.catalog import ModelFamily
from gateway.failures import AmbiguousTokenError, BadTokenError

DEFAULT_ANTHROPIC_VERSION = "2023-06-01"

_TO_UPSTREAM = frozenset(
    {
        "accept",
        "anthropic-beta",
        "anthropic-version",
        "content-type",
        "conversation_id",
        "idempotency-key",
        "openai-beta",
        "originator",
        "session_id",
        "user-agent",
        "x-client-request-id",
    }
)
_TO_CLIENT = frozenset(
    {
        "cache-control",
        "content-type",
        "openai-processing-ms",
        "openai-version",
        "request-id",
        "retry-after",
        "retry-after-ms",
        "x-request-id",
        "x-should-retry",
    }
)
_TO_CLIENT_PREFIXES = ("anthropic-ratelimit-", "x-ratelimit-")


def read_token(headers: CIMultiDictProxy[str]) -> str:
    """Take the sandbox token out of a request's headers.

    Both forms at once are fine as long as they say the same: claude-code sends both.

    Raises:
        BadTokenError: there is none.
        AmbiguousTokenError: a header twice, or two different tokens.
    """
    keys = headers.getall("x-api-key", [])
    bearers = headers.getall("authorization", [])
    if len(keys) > 1 or len(bearers) > 1:
        raise AmbiguousTokenError
    tokens = {key.strip() for key in keys} | {_bearer(value) for value in bearers}
    if len(tokens) > 1:
        raise AmbiguousTokenError
    if not tokens:
        raise BadTokenError
    return tokens.pop()


def upstream_headers(
    family: ModelFamily, inbound: CIMultiDictProxy[str], key: SecretStr | None
) -> CIMultiDict[str]:
    """Build the headers of an upstream request: what may pass, and the site's key.

    `identity` keeps the stream as the model wrote it, chunk by chunk: a compressor would hold
    text back.
    """
    headers = CIMultiDict(
        (name, value) for name, value in inbound.items() if name.lower() in _TO_UPSTREAM
    )
    headers["Accept-Encoding"] = "identity"
    if family is ModelFamily.ANTHROPIC:
        headers.setdefault("anthropic-version", DEFAULT_ANTHROPIC_VERSION)
    if key is not None:
        name, value = _credential(family, key.get_secret_value())
        headers[name] = value
    return headers


def client_headers(upstream: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Pick the headers of an upstream answer that the client gets."""
    return CIMultiDict(
        (name, value)
        for name, value in upstream.items()
        if name.lower() in _TO_CLIENT or name.lower().startswith(_TO_CLIENT_PREFIXES)
    )


def _bearer(value: str) -> str:
    scheme, _, token = value.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise BadTokenError
    return token.strip()


def _credential(family: ModelFamily, key: str) -> tuple[str, str]:
    if family is ModelFamily.ANTHROPIC:
        return "x-api-key", key
    return "Authorization", f"Bearer {key}"
