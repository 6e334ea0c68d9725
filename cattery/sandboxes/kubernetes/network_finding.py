"""What was found out about a cluster's network, and the words for it. Pure.

Kept apart from the check itself: whoever only reads a finding needs no client of the cluster.
"""

from dataclasses import dataclass
from typing import Final

from cattery.jsontypes import Json, JsonObject
from cattery.network_probe import Hope

GATEWAY: Final = "the model gateway"
NEIGHBOUR: Final = "another sandbox"
FROM_HERE: Final = "a sandbox, from here"
LATE: Final = "at first it was open: the policy came a moment after the pod"


@dataclass(frozen=True, slots=True)
class NetworkCheck:
    """One connection that was tried.

    Attributes:
        name: what it leads to.
        where: address and port.
        wanted: what the policies promise.
        seen: what came of it; `None` where it could not be tried, and `detail` says why.
        detail: what the probe says of it.
    """

    name: str
    where: str
    wanted: Hope
    seen: Hope | None
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the promise."""
        return self.seen in (None, self.wanted)

    def write(self) -> JsonObject:
        """Return it for JSON."""
        return {
            "name": self.name,
            "where": self.where,
            "wanted": self.wanted.value,
            "seen": None if self.seen is None else self.seen.value,
            "ok": self.ok,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class NetworkFinding:
    """What came of all of them, seen from a sandbox (one, `FROM_HERE`, from this process)."""

    checks: tuple[NetworkCheck, ...]

    @property
    def enforced(self) -> bool:
        """Whether everything was closed that must be."""
        return all(check.ok for check in self.checks if check.wanted is Hope.CLOSED)

    @property
    def gateway_reached(self) -> bool:
        """Whether nothing speaks against a sandbox reaching the model gateway."""
        return all(check.ok for check in self.checks if check.name == GATEWAY)

    @property
    def is_well(self) -> bool:
        """Whether everything is as it should be."""
        return all(check.ok for check in self.checks)

    @property
    def summary(self) -> str:
        """Say it in a sentence or two."""
        leaks = [f"{check.name} ({check.where})" for check in self.checks if _leaks(check)]
        if leaks:
            return (
                "The cluster does not enforce its network policies: a sandbox reached "
                f"{_enumerate(leaks)}. Install a network plugin that enforces NetworkPolicy, such "
                "as Calico or Cilium, apply k8s/base/network-policies.yaml, then run: cattery "
                "doctor --cluster."
            )
        wrong = [check for check in self.checks if not check.ok]
        if not wrong:
            tried = [check for check in self.checks if check.seen is not None]
            count = sum(check.wanted is Hope.CLOSED for check in tried)
            return (
                "The cluster enforces its network policies: a sandbox reached nothing that it must "
                f"not ({count} tried)."
            )
        return "The cluster enforces its network policies, but " + " ".join(map(_describe, wrong))

    def write(self) -> JsonObject:
        """Return it for JSON, as others read it from the database."""
        checks: list[Json] = [check.write() for check in self.checks]
        return {
            "enforced": self.enforced,
            "gateway_reached": self.gateway_reached,
            "well": self.is_well,
            "summary": self.summary,
            "checks": checks,
        }


def advise(check: NetworkCheck) -> str:
    """Say what to do about a check that is not well."""
    if check.name == GATEWAY:
        return (
            "Agents get no model. Check that the gateway runs, CATTERY_GATEWAY_URL, and the "
            "policies of k8s/base/network-policies.yaml."
        )
    if check.name == FROM_HERE:
        return (
            "The worker will not reach harnesses. Check the policies of "
            "k8s/base/network-policies.yaml and this pod's labels."
        )
    return "It must be closed."


def _leaks(check: NetworkCheck) -> bool:
    return check.wanted is Hope.CLOSED and not check.ok


def _describe(check: NetworkCheck) -> str:
    subject = (
        "this process does not reach a sandbox"
        if check.name == FROM_HERE
        else (f"a sandbox does not reach {check.name}")
    )
    return f"{subject} ({check.where}: {check.detail}). {advise(check)}"


def _enumerate(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
