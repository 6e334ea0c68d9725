"""The tree of errors that reach a person, each with its HTTP status and its own sentence.

Raise them where the fact is known; `api.errors` renders them once, activities translate them to
Temporal failures once. A message says what happened, to which object, and what to do about it.
"""

from typing import ClassVar


class CatteryError(Exception):
    """Base of every error whose message may be shown to a person."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    permanent: ClassVar[bool] = True
    """Whether repeating the same call can only fail again; activities do not retry these."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequestError(CatteryError):
    """The request itself is wrong; nothing was changed."""

    status = 400
    code = "bad_request"


class NotSignedInError(CatteryError):
    """No token, or one that is no longer worth anything."""

    status = 401
    code = "not_signed_in"

    def __init__(self, message: str = "You are not signed in. Sign in and try again.") -> None:
        super().__init__(message)


class ForbiddenError(CatteryError):
    """The caller may see the object but not do this to it."""

    status = 403
    code = "forbidden"


class NotFoundError(CatteryError):
    """There is no such object, or the caller may not see it: the answer is the same."""

    status = 404
    code = "not_found"

    def __init__(self, noun: str) -> None:
        super().__init__(f"There is no such {noun}, or you have no access to it.")


class ConflictError(CatteryError):
    """The request does not fit the object's present state."""

    status = 409
    code = "conflict"


class TooLargeError(CatteryError):
    """The body is over a stated limit; nothing was kept."""

    status = 413
    code = "too_large"


class RateLimitedError(CatteryError):
    """Too many tries; `retry_after` says in how many whole seconds to come back."""

    status = 429
    code = "rate_limited"
    permanent = False

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many sign-in attempts. Try again in {retry_after} seconds.")
        self.retry_after = retry_after


class UnavailableError(CatteryError):
    """Something that we need is not there right now; the same call may succeed later.

    `retry_after` says in how many whole seconds, where that can be guessed.
    """

    status = 503
    code = "unavailable"
    permanent = False
    retry_after: int | None = None

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SandboxError(CatteryError):
    """A sandbox could not be made, started or reached; the message carries the cause."""

    status = 503
    code = "sandbox"
    permanent = False


class SandboxSetupError(SandboxError):
    """A sandbox can never start as things stand: a tool is missing, a setting is wrong."""

    code = "sandbox_setup"
    permanent = True


class SandboxFailedError(SandboxError):
    """A start failed, and whoever watched it has waited for long enough: people decide now."""

    code = "sandbox_failed"


class SandboxWaitingError(SandboxError):
    """A sandbox waits for something that is no failure, such as quota; ask again later."""

    code = "sandbox_waiting"


class HarnessError(CatteryError):
    """A harness answered with something other than its contract."""

    status = 502
    code = "harness"
    permanent = False


class HarnessSessionGoneError(HarnessError):
    """The harness no longer knows this session; a new one must be opened in it."""

    code = "harness_session_gone"


class HarnessRejectedError(HarnessError):
    """The harness refused the request and would refuse it again."""

    code = "harness_rejected"
    permanent = True
