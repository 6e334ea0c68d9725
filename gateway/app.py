"""The gateway's web application: from a request line to a model's answer, or a clear error.

Each request passes the same gates in the same order: exact path, one credential, valid token,
room for one more, a body under the limit. Only then does a model hear of it.
"""

import asyncio
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog
from aiohttp import web

from cattery.auth.sandbox_tokens import SandboxPrincipal
from cattery.settings import GatewaySettings
from gateway.demo.model import DemoModel
from gateway.endpoints import Endpoint, Operation, family_of_path, match_endpoint
from gateway.exchanges import Exchange, OpenExchanges
from gateway.failures import (
    BadTokenError,
    BodyTooLargeError,
    BodyTooSlowError,
    GatewayError,
    InternalError,
    VerifierDownError,
)
from gateway.headers import read_token
from gateway.model_port import Model, ModelCall
from gateway.replies import Reply, error_response
from gateway.tokens import RememberingVerifier, TokenVerifier
from gateway.upstream import UpstreamModel, open_session, providers_of

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """The gateway's own spans; the defaults keep the promise that a revoked token dies in 5 s."""

    verdict_lifetime: timedelta = timedelta(seconds=3)
    """How long a token's look-up is remembered."""
    check_interval: timedelta = timedelta(seconds=3)
    """Between two re-checks of the tokens of open streams."""
    body_idle: timedelta = timedelta(seconds=30)
    """A client that sends nothing of its body for this long is given up."""
    demo_chunk: timedelta = timedelta(milliseconds=25)
    """Between two chunks of the demo model: readable, and still a stream."""


OPEN_EXCHANGES = web.AppKey("open_exchanges", OpenExchanges)


def create_app(
    settings: GatewaySettings, verifier: TokenVerifier, *, pace: Pace | None = None
) -> web.Application:
    """Build the gateway.

    Raises:
        BadRequestError: a provider's address in the settings is none.
    """
    providers_of(settings)
    pace = pace or Pace()
    remembering = RememberingVerifier(verifier, lifetime=pace.verdict_lifetime)
    exchanges = OpenExchanges(remembering)
    gateway = _Gateway(settings, remembering, exchanges, pace)
    app = web.Application()
    app[OPEN_EXCHANGES] = exchanges
    app.cleanup_ctx.append(gateway.lifespan)
    app.on_response_prepare.append(_name_server)
    app.router.add_route("*", "/{path:.*}", gateway.handle)
    return app


class _Gateway:
    def __init__(
        self,
        settings: GatewaySettings,
        verifier: RememberingVerifier,
        exchanges: OpenExchanges,
        pace: Pace,
    ) -> None:
        self._settings = settings
        self._verifier = verifier
        self._exchanges = exchanges
        self._pace = pace
        self._model: Model | None = None

    async def lifespan(self, _: web.Application) -> AsyncIterator[None]:
        """Hold the model and the check of open streams for as long as the application runs."""
        async with self._open_model() as self._model:
            checking = asyncio.create_task(
                self._exchanges.keep_checking(self._pace.check_interval), name="check-tokens"
            )
            yield
            checking.cancel()
            with suppress(asyncio.CancelledError):
                await checking

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any request at all; nothing escapes but a client's own disconnection."""
        if request.raw_path == "/healthz" and request.method == "GET":
            return web.json_response({"status": "ok"})
        try:
            endpoint = match_endpoint(request.method, request.raw_path)
            return await self._admit(request, endpoint)
        except GatewayError as error:
            log.info("model_request_refused", code=error.code, status=error.status)
            return error_response(family_of_path(request.raw_path), error)

    @asynccontextmanager
    async def _open_model(self) -> AsyncIterator[Model]:
        if self._settings.is_demo:
            yield DemoModel(self._pace.demo_chunk)
            return
        async with open_session() as session:
            yield UpstreamModel(self._settings, session)

    async def _admit(self, request: web.Request, endpoint: Endpoint) -> web.StreamResponse:
        token = read_token(request.headers)
        principal = await self._identify(token)
        with self._exchanges.open(token, principal) as exchange:
            started_at = time.monotonic()
            reply = Reply(request, endpoint, exchange)
            code = await self._serve(request, endpoint, reply, exchange)
            if reply.response is None:
                raise InternalError
            log.info(
                "model_request_finished",
                harness_id=str(principal.harness_id),
                project_id=str(principal.project_id),
                family=endpoint.family,
                operation=endpoint.operation,
                status=reply.response.status,
                code=code,
                seconds=round(time.monotonic() - started_at, 3),
                bytes=reply.bytes_written,
            )
            return reply.response

    async def _identify(self, token: str) -> SandboxPrincipal:
        try:
            principal = await self._verifier.verify(token)
        except Exception as error:  # noqa: BLE001 - a verifier may fail in any way
            log.warning("token_check_failed", error=type(error).__name__)
            raise VerifierDownError from None
        if principal is None:
            raise BadTokenError
        return principal

    async def _serve(
        self, request: web.Request, endpoint: Endpoint, reply: Reply, exchange: Exchange
    ) -> str:
        """Have the model answer, or tell the client why not; return a code for the log."""
        if self._model is None:
            raise InternalError
        try:
            async with exchange.bounded():
                body = await self._read_body(request, endpoint, exchange)
                call = ModelCall(endpoint, request.headers, body, exchange)
                await self._model.answer(call, reply)
        except GatewayError as error:
            await reply.fail(error)
            return error.code
        except ConnectionError:
            return "client_gone"
        except Exception as error:  # noqa: BLE001 - the client gets an answer in any case
            _log_crash(error)
            await reply.fail(InternalError())
            return InternalError.code
        return "ok"

    async def _read_body(
        self, request: web.Request, endpoint: Endpoint, exchange: Exchange
    ) -> bytes:
        """Read the body whole, so that its size is known before the provider hears of it."""
        if endpoint.operation is Operation.MODELS:
            return b""
        limit = self._settings.max_request_bytes
        if (request.content_length or 0) > limit:
            raise BodyTooLargeError(limit)
        body = bytearray()
        while True:
            exchange.expect(self._pace.body_idle.total_seconds(), BodyTooSlowError())
            chunk = await request.content.readany()
            if not chunk:
                return bytes(body)
            body += chunk
            if len(body) > limit:
                raise BodyTooLargeError(limit)


async def _name_server(_: web.Request, response: web.StreamResponse) -> None:
    """Say who answers, and not in which versions."""
    response.headers["Server"] = "cattery-gateway"


def _log_crash(error: Exception) -> None:
    """Log where a defect struck, without the exception's text: it may quote a prompt."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    at = f"{frame.filename}:{frame.lineno}"
    log.error("model_request_crashed", error=type(error).__name__, at=at)
