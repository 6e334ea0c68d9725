"""What a test may do to calls and watches of the fake cluster, and the record of every call."""

import fnmatch
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

type How = int | Literal["reset", "hang"]
"""A status to answer with, a connection that breaks, or no answer ever."""


@dataclass
class Call:
    """One request. `status` is 0 until it was answered, and stays 0 where no answer was sent."""

    number: int
    verb: str
    plural: str
    name: str
    status: int = 0
    took_effect: bool = False

    @property
    def is_mutating(self) -> bool:
        return self.verb in ("create", "patch", "delete")


@dataclass(frozen=True)
class Moment:
    """A place where a client can die: before a mutating call took effect, or after it did."""

    number: int
    when: Literal["before", "after"]
    call: Call


@dataclass
class Fault:
    """Which calls fail, and how."""

    verb: str
    plural: str
    how: How
    name: str = "*"
    nth: int = 1
    times: int = 1
    after: bool = False
    retry_after: int | None = None
    message: str = ""
    seen: int = 0

    def hits(self, call: Call) -> bool:
        """Count a call that fits, and say whether its turn has come."""
        fits = (
            fnmatch.fnmatchcase(call.verb, self.verb)
            and fnmatch.fnmatchcase(call.plural, self.plural)
            and fnmatch.fnmatchcase(call.name, self.name)
        )
        self.seen += fits
        return fits and self.nth <= self.seen < self.nth + self.times


class BrokenConnectionError(Exception):
    """Ends the connection of a request without an answer."""


@dataclass(eq=False)
class OpenWatch:
    """A watch that a client has open."""

    plural: str
    request: web.Request
    silent: bool = False
    expired: bool = False

    def abort(self) -> None:
        if self.request.transport is not None:
            self.request.transport.abort()
