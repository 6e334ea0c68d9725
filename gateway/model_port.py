"""What the gateway asks of a model, be it a provider behind a network or the built-in demo."""

from dataclasses import dataclass
from typing import Protocol

from multidict import CIMultiDictProxy

from gateway.endpoints import Endpoint
from gateway.exchanges import Exchange
from gateway.replies import Reply


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One authenticated request to a model."""

    endpoint: Endpoint
    headers: CIMultiDictProxy[str]
    """The client's own, credentials included: never pass them on as they are."""
    body: bytes
    exchange: Exchange


class Model(Protocol):
    """Answers calls of both families."""

    async def answer(self, call: ModelCall, reply: Reply) -> None:
        """Write the whole answer to `reply`.

        Raises:
            GatewayError: no answer, or none to the end; the caller tells the client.
        """
