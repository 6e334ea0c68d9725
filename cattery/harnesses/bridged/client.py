"""The HTTP surface of a bridge: the contract's own, behind basic authentication."""

import base64
from collections.abc import Mapping
from typing import Final, override

from cattery.harnesses.http_client import HttpHarnessClient

USERNAME: Final = "cattery"
"""The user of a bridge's basic authentication."""


class BridgeClient(HttpHarnessClient):
    """One running bridge."""

    @override
    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": basic_auth(self._password)} if self._password else {}


def basic_auth(password: str) -> str:
    """Return the `Authorization` header for a bridge's port."""
    return "Basic " + base64.b64encode(f"{USERNAME}:{password}".encode()).decode()
