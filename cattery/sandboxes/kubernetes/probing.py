"""Asks programs in pods whether they answer."""

from collections.abc import Awaitable, Callable

import aiohttp

from cattery.errors import SandboxError
from cattery.harnesses.port import HarnessEndpoint, HarnessType
from cattery.sandboxes.kubernetes.launching import FILE_MANAGER_PORT, HARNESS_PORT


def probe_harness(harness: HarnessType, password: str) -> Callable[[str], Awaitable[None]]:
    """Return a probe of a harness: it answers as itself to its password."""

    async def probe(address: str) -> None:
        client = harness.client(HarnessEndpoint(f"http://{address}:{HARNESS_PORT}", password))
        try:
            await client.check_health()
        finally:
            await client.close()

    return probe


async def probe_file_manager(address: str) -> None:
    """Return where a file manager answers.

    Raises:
        SandboxError: it does not.
    """
    url = f"http://{address}:{FILE_MANAGER_PORT}/healthz"
    timeout = aiohttp.ClientTimeout(total=1)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(url, allow_redirects=False) as response,
        ):
            if response.status == 200:
                return
            raise SandboxError(f"The file manager at {address} answers {response.status}.")
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise SandboxError(f"The file manager at {address} does not answer.") from error
