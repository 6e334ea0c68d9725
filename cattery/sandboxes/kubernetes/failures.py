"""What a cluster can answer instead of doing it, in words for the person who must act.

The types say what to do: retry later, ask an operator, adopt what is there, look again. Whoever
calls the cluster never sees an HTTP status.
"""

import re
from dataclasses import dataclass
from typing import Final, override

import orjson

from cattery.errors import SandboxError
from cattery.jsontypes import JsonObject
from cattery.sandboxes.kubernetes.kinds import Kind

MAX_QUOTE: Final = 600
"""Letters of the cluster's own message that we repeat; an admission policy may write a page."""

_QUOTA: Final = re.compile(
    r"exceeded quota: (?P<quota>[^,\s]+), requested: (?P<requested>\S+), "
    r"used: (?P<used>\S+), limited: (?P<limited>\S+)"
)
_NO_RIGHT: Final = re.compile(
    r'User "(?P<user>[^"]+)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)"'
)


class ClusterUnreachableError(SandboxError):
    """The cluster's API did not answer, or only with errors of its own, for as long as we waited.

    The same call may succeed once the cluster works again. It may also have taken effect.
    """

    code = "cluster_unreachable"


class ClusterForbiddenError(SandboxError):
    """The worker lacks a right. Nothing changes until an operator corrects its Role."""

    code = "cluster_forbidden"
    permanent = True


class ClusterRefusedError(SandboxError):
    """The cluster will not have this object: invalid, or against one of its policies."""

    code = "cluster_refused"
    permanent = True


class QuotaExceededError(SandboxError):
    """The namespace's quota is used up. It is no failure: waiting helps once something stops."""

    code = "sandbox_quota"


class AlreadyExistsError(SandboxError):
    """An object of this name is there already; look at it, then adopt or replace it."""

    status = 409
    code = "cluster_exists"


class PatchConflictError(SandboxError):
    """The object is not as the patch expected (a `test` failed), or changed at the same time.

    Nothing was changed. Read the object again and decide anew.
    """

    status = 409
    code = "cluster_conflict"


class WatchExpiredError(SandboxError):
    """A watch can no longer go on from where it was; list again."""

    code = "cluster_watch_expired"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was asked of the cluster, for messages and for the retry policy."""

    verb: str
    kind: Kind
    namespace: str
    name: str = ""

    @override
    def __str__(self) -> str:
        subject = f'{self.kind.noun} "{self.name}"' if self.name else self.kind.nouns
        return f'{self.verb} the {subject} in namespace "{self.namespace}"'


@dataclass(frozen=True, slots=True)
class Status:
    """Kubernetes' `Status` object: an error that the API server explains.

    Attributes:
        about: name of the object that it is about; empty where the server names none, which tells
            "there is no such object" from "there is no such API", and a patch that does not fit
            from one whose result is invalid.
    """

    code: int
    reason: str
    message: str
    about: str


def read_status(code: int, body: bytes) -> Status:
    """Read an answer that is no success, also one that something else than the API server wrote."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        return Status(code, "", clip(body.decode(errors="replace").strip()), "")
    return parse_status(found, code=code)


def parse_status(found: JsonObject, *, code: int = 0) -> Status:
    """Read a `Status` object, such as the last line of a watch."""
    given, details = found.get("code"), found.get("details")
    about = details.get("name") if isinstance(details, dict) else ""
    return Status(
        code=given if isinstance(given, int) else code,
        reason=_text(found.get("reason")),
        message=clip(_text(found.get("message"))),
        about=_text(about),
    )


def refuse(attempt: Attempt, status: Status) -> SandboxError:
    """Return the error for an answer that retrying did not change."""
    match status.code:
        case 401:
            return ClusterForbiddenError(
                f"The cluster does not accept the worker's credentials (to {attempt}). Check its "
                "ServiceAccount or KUBECONFIG."
            )
        case 403:
            return _refuse_forbidden(attempt, status)
        case 409 if status.reason == "AlreadyExists":
            return AlreadyExistsError(f"{_subject(attempt)} exists already.")
        case 409:
            return PatchConflictError(
                f"{_subject(attempt)} was changed by somebody else at the same time."
            )
        case 422 if attempt.verb == "patch" and not status.about:
            return PatchConflictError(
                f"{_subject(attempt)} is not as it was when its change was decided."
            )
        case 404 if not status.about:
            return ClusterUnreachableError(
                f"The cluster does not serve {attempt.kind.resource} (to {attempt}). Check that "
                "agent-sandbox is installed and healthy."
            )
        case 404:
            return ClusterRefusedError(
                f"The cluster could not {attempt}: {status.message}. "
                "Check that the namespace exists."
            )
        case 410:
            return WatchExpiredError(f"The past of the {attempt.kind.nouns} is no longer kept.")
        case 400 | 405 | 413 | 415 | 422:
            return ClusterRefusedError(
                f"The cluster refused to {attempt}: {status.message}. "
                "Check the settings that it names."
            )
        case code:
            return ClusterUnreachableError(
                f"The cluster could not {attempt}: it answered {code}, {status.message}."
            )


def describe_quota(message: str) -> str | None:
    """Say which quota a refusal is about, with used and limit; `None` where it is about none.

    The API server writes the same words into its answers and the controller into a Sandbox's
    condition.
    """
    found = _QUOTA.search(message)
    if found is None:
        return None
    used, limits = _amounts(found["used"]), _amounts(found["limited"])
    wanted = _amounts(found["requested"])
    amounts = [
        f"{used.get(name, '?')} of {limits.get(name, '?')} {name} are used, {amount} more is needed"
        for name, amount in wanted.items()
    ]
    return f'The quota "{found["quota"]}" is used up: {"; ".join(amounts)}.'


def clip(text: str) -> str:
    """Shorten a message that somebody else wrote."""
    return text if len(text) <= MAX_QUOTE else text[:MAX_QUOTE] + "…"


def _refuse_forbidden(attempt: Attempt, status: Status) -> SandboxError:
    quota = describe_quota(status.message)
    if quota is not None:
        return QuotaExceededError(
            f"{quota} It goes on when something else stops, or when an operator raises the quota "
            f'of namespace "{attempt.namespace}".'
        )
    found = _NO_RIGHT.search(status.message)
    if found is not None:
        group = f' of API group "{attempt.kind.group}"' if attempt.kind.group else ""
        return ClusterForbiddenError(
            f'The worker ("{found["user"]}") may not {attempt}. Check its Role there: it needs the '
            f'verb "{found["verb"]}" on "{found["resource"]}"{group}.'
        )
    return ClusterRefusedError(
        f"A policy of the cluster refused to {attempt}: {status.message}. Check Pod Security, "
        "admission policies and limits of the namespace."
    )


def _subject(attempt: Attempt) -> str:
    return f'The {attempt.kind.noun} "{attempt.name}" in namespace "{attempt.namespace}"'


def _amounts(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.rstrip(",").split(",") if "=" in part)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
