"""One request to the cluster's API, repeated with patience while the fault is the cluster's.

The official client brings addresses, TLS and credentials (a mounted service account token is read
again every minute by it, any credentials are loaded again after a 401); it sends one request, and
the policy is here. All our calls may be repeated: a create that is repeated is told that the object
exists, and looks whose it is.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

import aiohttp
import structlog
from kubernetes.aio import client, config
from kubernetes.aio.config.incluster_config import SERVICE_HOST_ENV_NAME, SERVICE_TOKEN_FILENAME

from cattery.errors import SandboxError, SandboxSetupError
from cattery.jsontypes import Json
from cattery.sandboxes.kubernetes.failures import (
    Attempt,
    ClusterUnreachableError,
    Status,
    read_status,
    refuse,
)

log = structlog.get_logger(__name__)

JSON_PATCH: Final = "application/json-patch+json"
TRANSIENT: Final = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often a call is tried.

    Attributes:
        total: until the call fails for good; time enough for an API server to be restarted.
        brief: the same for what a cluster says only while it starts: credentials that it does not
            know yet, APIs that it does not serve yet; and for calls that only explain, such as
            reading a log from a node that is gone.
        first_delay: of a back-off that doubles up to `longest_delay`, with jitter.
        connect: for a connection; `answer`: for the whole of one request but a watch.
        watch_grace: that a watch may last over the time after which the server was to end it.
    """

    total: timedelta = timedelta(seconds=90)
    brief: timedelta = timedelta(seconds=10)
    first_delay: timedelta = timedelta(milliseconds=200)
    longest_delay: timedelta = timedelta(seconds=10)
    connect: timedelta = timedelta(seconds=3)
    answer: timedelta = timedelta(seconds=10)
    watch_grace: timedelta = timedelta(seconds=5)

    def delay(self, tries: int) -> float:
        """Return the seconds to wait after a number of tries that failed."""
        longest = self.longest_delay.total_seconds()
        delay: float = min(self.first_delay.total_seconds() * 2 ** min(tries - 1, 16), longest)
        return delay * random.uniform(0.5, 1)  # noqa: S311 - spreads load, keeps no secret


@dataclass(frozen=True, slots=True)
class Request:
    """One request, and what it is for."""

    attempt: Attempt
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Json = None
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `status` is there where it is no success."""

    body: bytes
    status: Status | None = None
    retry_after: float | None = None


async def load_configuration(kubeconfig: Path | None) -> client.Configuration:
    """Find the cluster: the one that this process runs in, or else the kubeconfig's.

    Args:
        kubeconfig: this file and nothing else.

    Raises:
        SandboxSetupError: there is neither.
    """
    loaded = client.Configuration()
    if kubeconfig is None and _is_in_cluster():
        config.load_incluster_config(loaded)  # type: ignore[no-untyped-call]
        return loaded
    path = str(kubeconfig or os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    try:
        await config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=path, client_configuration=loaded, persist_config=False
        )
    except (config.ConfigException, OSError, TypeError) as error:
        raise SandboxSetupError(
            f"No cluster is configured: {path} cannot be used ({error}). Set KUBECONFIG, or run "
            "the worker in the cluster with its service account."
        ) from error
    return loaded


class Transport:
    """Sends requests; safe to use from many tasks at once."""

    def __init__(
        self,
        configuration: client.Configuration,
        patience: Patience,
        reload: Callable[[], Awaitable[client.Configuration]],
    ) -> None:
        self._client = client.ApiClient(configuration)
        self._client.user_agent = "cattery"
        self._patience = patience
        self._reload = reload

    @property
    def server(self) -> str:
        """Return the URL that requests go to."""
        return str(self._client.configuration.host)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def send(self, request: Request, *, briefly: bool = False) -> Answer:
        """Send until there is an answer that is no fault of the cluster's.

        Args:
            request: what to send; it may be sent more than once.
            briefly: give up soon.

        Raises:
            ClusterUnreachableError: there was none in time.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        brief = self._patience.brief.total_seconds()
        total = brief if briefly else self._patience.total.total_seconds()
        tries = 0
        while True:
            tries += 1
            answer, error = await self._try(request)
            if answer is not None and _is_final(request, answer):
                return answer
            unsettled = answer if answer is not None and _is_unsettled(answer) else None
            delay = self._patience.delay(tries)
            if answer is not None and answer.retry_after is not None:
                delay += answer.retry_after
            late = loop.time() - began + delay
            if unsettled is not None and late > brief and tries > 1:
                return unsettled  # tried with new credentials at least once
            if unsettled is None and late > total:
                raise _give_up(request, answer, error) from error
            attempt = request.attempt
            log.info(
                "cluster_call_retried",
                verb=attempt.verb,
                kind=attempt.kind.plural,
                name=attempt.name,
                tries=tries,
                delay=round(delay, 2),
            )
            await asyncio.sleep(delay)

    @asynccontextmanager
    async def open(
        self, request: Request, *, lasting: timedelta
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """Send once and read the answer as it comes, which ends by itself after `lasting`.

        Raises:
            SandboxError: it was refused, or the connection failed, then or later.
        """
        try:
            response = await self._request(request, lasting + self._patience.watch_grace)
            try:
                if response.status >= 300:
                    raise refuse(
                        request.attempt, read_status(response.status, await response.read())
                    )
                yield response.content
            finally:
                response.close()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # A line that is longer than any object can be is a ValueError.
            raise _give_up(request, None, error) from error

    async def _try(self, request: Request) -> tuple[Answer | None, Exception | None]:
        try:
            response = await self._request(request, self._patience.answer)
            async with response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return None, error
        if response.status < 300:
            return Answer(body), None
        if response.status == 401:
            await self._renew_credentials()
        after = response.headers.get("Retry-After", "")
        retry_after = float(after) if after.isdigit() else None
        return Answer(body, read_status(response.status, body), retry_after), None

    async def _request(self, request: Request, lasting: timedelta) -> aiohttp.ClientResponse:
        method, url, headers, body, _ = await self._client.param_serialize(
            request.method,
            request.path,
            query_params=list(request.query.items()),
            header_params={"Accept": "application/json", "Content-Type": request.content_type},
            body=request.body,
            auth_settings=["BearerToken"],
        )
        timeout = aiohttp.ClientTimeout(
            total=lasting.total_seconds(), sock_connect=self._patience.connect.total_seconds()
        )
        answered = await self._client.call_api(
            method, url, headers, body=body, _request_timeout=timeout
        )
        response: aiohttp.ClientResponse = answered.response
        return response

    async def _renew_credentials(self) -> None:
        try:
            fresh = await self._reload()
        except SandboxError as error:
            log.warning("cluster_credentials_not_renewed", error=error.message)
        else:
            configuration = self._client.configuration
            configuration.refresh_api_key_hook = fresh.refresh_api_key_hook
            configuration.api_key.update(fresh.api_key)


def _is_final(request: Request, answer: Answer) -> bool:
    """Whether another try could say nothing else."""
    status = answer.status
    if status is None:
        return True
    # Of the quota that counts the object, not of the object: there is none yet.
    is_quota_race = request.method == "POST" and (status.code, status.reason) == (409, "Conflict")
    return not (status.code in TRANSIENT or is_quota_race or _is_unsettled(answer))


def _is_unsettled(answer: Answer) -> bool:
    """Whether it is what an API server also says while it starts."""
    status = answer.status
    return status is not None and (status.code == 401 or (status.code == 404 and not status.about))


def _is_in_cluster() -> bool:
    return bool(os.environ.get(SERVICE_HOST_ENV_NAME)) and Path(SERVICE_TOKEN_FILENAME).exists()


def _give_up(
    request: Request, answer: Answer | None, error: Exception | None
) -> ClusterUnreachableError:
    if answer is not None and answer.status is not None:
        cause = f"it answers {answer.status.code} ({answer.status.message or 'no message'})"
    elif isinstance(error, TimeoutError):
        cause = "it does not answer in time"
    else:
        cause = f"the connection fails ({str(error) or type(error).__name__})"
    return ClusterUnreachableError(
        f"The cluster could not {request.attempt}: {cause}. Check that its API server is up and "
        "that the worker reaches it."
    )
