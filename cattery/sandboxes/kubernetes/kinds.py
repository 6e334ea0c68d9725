"""The kinds of objects that the worker has to do with, and how each is named."""

from enum import Enum
from typing import Final

SANDBOX_GROUP: Final = "agents.x-k8s.io"
SANDBOX_VERSION: Final = "v1beta1"
"""The version that we write, and that everything outside `discovery` sees."""


class Kind(Enum):
    """A kind of object.

    Attributes:
        group: its API group, empty for the core.
        plural: its name in paths and in Roles.
        noun: what people call it, in messages.
    """

    SANDBOX = (SANDBOX_GROUP, "sandboxes", "sandbox")
    POD = ("", "pods", "pod")
    CLAIM = ("", "persistentvolumeclaims", "volume claim")
    SECRET = ("", "secrets", "secret")
    EVENT = ("", "events", "event")

    def __init__(self, group: str, plural: str, noun: str) -> None:
        self.group = group
        self.plural = plural
        self.noun = noun

    @property
    def nouns(self) -> str:
        """Return the noun for several of it."""
        return self.noun + ("es" if self.noun.endswith("x") else "s")

    @property
    def resource(self) -> str:
        """Return its full name, such as `sandboxes.agents.x-k8s.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str, name: str = "", *, version: str = SANDBOX_VERSION) -> str:
        """Return the path of all of its objects in a namespace, or of one."""
        base = f"/apis/{self.group}/{version}" if self.group else "/api/v1"
        return f"{base}/namespaces/{namespace}/{self.plural}" + (f"/{name}" if name else "")
