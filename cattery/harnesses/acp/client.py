"""The HTTP surface of the ACP bridge: the contract's own."""

from collections.abc import Mapping
from typing import override

from cattery.harnesses.http_client import HttpHarnessClient
from cattery.harnesses.terminal.client import basic_auth


class AcpClient(HttpHarnessClient):
    """One running bridge."""

    @override
    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": basic_auth(self._password)} if self._password else {}
