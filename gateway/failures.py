"""What can go wrong between a sandbox and a model, each with the status that ends it well.

The status is chosen for how harnesses react, which matters more here than the letter of HTTP:
they retry 429 and 5xx (opencode five times, with growing pauses), claude-code and codex retry 401
too, and all of them take 400 for final and show its message. So what the operator must mend is a
400, what may pass by itself is a 5xx, and only a bad sandbox token is a 401.
"""

from typing import ClassVar

from cattery.catalog import ModelFamily
from cattery.errors import CatteryError

KEY_VARIABLES = {
    ModelFamily.ANTHROPIC: "ANTHROPIC_API_KEY",
    ModelFamily.OPENAI: "OPENAI_API_KEY",
}
BASE_VARIABLES = {
    ModelFamily.ANTHROPIC: "ANTHROPIC_BASE_URL",
    ModelFamily.OPENAI: "OPENAI_BASE_URL",
}
PROVIDERS = {ModelFamily.ANTHROPIC: "Anthropic", ModelFamily.OPENAI: "OpenAI"}


class GatewayError(CatteryError):
    """Base of what the gateway itself answers, in place of a model."""

    status = 400
    code = "gateway"
    kind: ClassVar[str] = "invalid_request_error"
    """The error's `type`, from the words that both providers' clients know."""
    retry_after: int | None = None


class UnknownPathError(GatewayError):
    """The gateway serves a handful of paths and this is none of them."""

    status = 404
    code = "unknown_path"
    kind = "not_found_error"

    def __init__(self) -> None:
        super().__init__("Cattery's model gateway does not serve this path.")


class BadTokenError(GatewayError):
    """No sandbox token, or one that is unknown, expired or revoked."""

    status = 401
    code = "bad_token"
    kind = "authentication_error"

    def __init__(self) -> None:
        super().__init__(
            "This sandbox's token is missing, expired or revoked. Start the sandbox again to get "
            "a new one."
        )


class AmbiguousTokenError(GatewayError):
    """Several credentials in one request: which one counts must not be a matter of luck."""

    code = "ambiguous_token"

    def __init__(self) -> None:
        super().__init__(
            "The request carries more than one credential. Send the sandbox's token once, as "
            "x-api-key or as Authorization: Bearer."
        )


class BodyTooLargeError(GatewayError):
    """The request's body is over the gateway's limit."""

    status = 413
    code = "body_too_large"
    kind = "request_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The request is larger than the {limit:,} bytes that the model gateway takes. "
            "Start a new session, or compact this one."
        )


class BodyTooSlowError(GatewayError):
    """The client stopped sending in the middle of its body."""

    status = 408
    code = "body_too_slow"

    def __init__(self) -> None:
        super().__init__("The request's body did not arrive in time. Send it again.")


class BadBodyError(GatewayError):
    """The body is not what this API takes."""

    code = "bad_body"

    def __init__(self) -> None:
        super().__init__("The request's body is not a JSON object.")


class TooManyRequestsError(GatewayError):
    """One sandbox has too many requests open at once."""

    status = 429
    code = "too_many_requests"
    kind = "rate_limit_error"
    permanent = False
    retry_after = 1

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"This sandbox has {limit} requests to the model open already. "
            "Wait until one of them ends."
        )


class ClosingError(GatewayError):
    """The gateway is stopping; another one may be up in a moment."""

    status = 503
    code = "closing"
    kind = "api_error"
    permanent = False
    retry_after = 1

    def __init__(self) -> None:
        super().__init__("The model gateway is restarting. Try again in a moment.")


class VerifierDownError(GatewayError):
    """Whether the token is valid could not be found out."""

    status = 503
    code = "verifier_down"
    kind = "api_error"
    permanent = False
    retry_after = 1

    def __init__(self) -> None:
        super().__init__(
            "The model gateway cannot check this sandbox's token right now, because its database "
            "does not answer. Try again in a moment."
        )


class InternalError(GatewayError):
    """A defect in the gateway."""

    status = 500
    code = "internal"
    kind = "api_error"

    def __init__(self) -> None:
        super().__init__("The model gateway failed. Its log says why; tell the operator.")


class NoKeyError(GatewayError):
    """The other family of models is set up, this one is not."""

    code = "no_key"

    def __init__(self, family: ModelFamily) -> None:
        super().__init__(
            f"This site has no key for {PROVIDERS[family]}'s models. Choose another model for the "
            f"harness, or ask the operator to set {KEY_VARIABLES[family]} (or "
            f"{BASE_VARIABLES[family]}) and restart Cattery."
        )


class KeyRefusedError(GatewayError):
    """The provider refused the site's key: final until the operator acts, hence a 400."""

    code = "key_refused"

    def __init__(self, family: ModelFamily, status: int) -> None:
        super().__init__(
            f"{PROVIDERS[family]}'s API refused this site's key (HTTP {status}). The operator must "
            f"set a valid {KEY_VARIABLES[family]} that may use this model and restart Cattery."
        )


class RedirectedError(GatewayError):
    """The upstream redirects; following would take the key to another host."""

    code = "redirected"

    def __init__(self, family: ModelFamily) -> None:
        super().__init__(
            f"The address in {BASE_VARIABLES[family]} redirects elsewhere, which the model gateway "
            "does not follow. The operator must set the final address and restart Cattery."
        )


class UnreachableError(GatewayError):
    """No connection to the provider, or it broke before an answer came."""

    status = 502
    code = "unreachable"
    kind = "api_error"
    permanent = False

    def __init__(self, family: ModelFamily) -> None:
        super().__init__(
            f"{PROVIDERS[family]}'s API cannot be reached from this site. Try again later; if it "
            f"stays so, the operator must check the network and {BASE_VARIABLES[family]}."
        )


class StalledError(GatewayError):
    """The provider went silent, before its answer or in the middle of it."""

    status = 504
    code = "stalled"
    kind = "timeout_error"
    permanent = False

    def __init__(self, family: ModelFamily, seconds: float) -> None:
        super().__init__(
            f"{PROVIDERS[family]}'s API sent nothing for {seconds:g} seconds, so the request was "
            "given up. Send the prompt again."
        )


class CutOffError(GatewayError):
    """The provider's stream broke off."""

    status = 502
    code = "cut_off"
    kind = "api_error"
    permanent = False

    def __init__(self, family: ModelFamily) -> None:
        super().__init__(
            f"The connection to {PROVIDERS[family]}'s API broke in the middle of the answer. "
            "Send the prompt again."
        )
