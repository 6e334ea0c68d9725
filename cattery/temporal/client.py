"""Connects to Temporal, the one way for every process, so that all read the same payloads."""

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from cattery.settings import TemporalSettings


async def connect(settings: TemporalSettings) -> Client:
    """Connect to the server; raises `RuntimeError` where it cannot be reached.

    Payloads are pydantic models that carry ids only: no prompts, no secrets, no event bodies.
    """
    return await Client.connect(
        settings.address, namespace=settings.namespace, data_converter=pydantic_data_converter
    )
