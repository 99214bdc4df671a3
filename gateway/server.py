"""The HTTP endpoint: the one path of every request, from bytes to a gRPC call and back.

    request id → signature's headers → body → admission → signature → operation → decode → call → encode

Each step raises from the tree of errors; one place turns them into responses, in the caller's protocol. The cheapest
check comes first: the body of a caller without a key is not read.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Final

from google.protobuf.message import Message
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from common.auth import created_arn
from common.errors import Throttled, Unavailable, reason_of
from common.event_offsets import OFFSET_KEY, WAIT_KEY
from common.logs import get_logger, request_id
from common.positions import Position
from common.rpc import LineBudget
from common.telemetry import NO_FIGURES, NO_TRACER, Figures, Tracer
from gateway.admission import Admission, CallLimits
from gateway.auth import Access, Admitted, SignatureVerifier, SignedRequest
from gateway.backends import BackendClients
from gateway.connections import Stop
from gateway.errors import UnknownOperation
from gateway.figures import RequestFigures
from gateway.health import HealthCheck
from gateway.protocol import CONTENT_TYPES, REST_JSON, Operation, fault
from gateway.tracing import TracedApp

__all__ = ["create_app"]

_REQUEST_ID = "x-amzn-requestid"
_REQUEST_ID_BYTES = _REQUEST_ID.encode()
_OFFSET_BYTES: Final = OFFSET_KEY.encode()
#: For callers who left before their response: a status is needed, though nobody reads it.
_GONE = 499
#: Bodies beyond this size are checked and decoded in a thread; smaller ones take less than the switch.
_SMALL_BODY_BYTES: Final = 64 * 1024
#: Headers of a response that scripts in browsers may read.
_EXPOSED_HEADERS: Final = (_REQUEST_ID, OFFSET_KEY, "x-amzn-errortype", "retry-after", "date")

_log = get_logger(__name__)
#: For a cheap look at the level: there are thousands of requests each second.
_std_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Progress:
    """How far a request has come.

    Attributes:
        admitted: Its headers; None until they are valid.
        is_proven: Whether its signature was verified.
        message: Its decoded body; None until then.
    """

    admitted: Admitted | None = None
    is_proven: bool = False
    message: Message | None = None


class _Endpoint:
    """Serves the operations of one address."""

    def __init__(
        self,
        operations: Sequence[Operation],
        *,
        verifier: SignatureVerifier,
        access: Access,
        backends: Callable[[], BackendClients],
        admission: Admission,
        decoder: ThreadPoolExecutor,
        figures: RequestFigures,
    ) -> None:
        self._figures = figures
        self._access = access
        self._protocol = operations[0].protocol
        self._headers = ((b"content-type", CONTENT_TYPES[self._protocol].encode()),)
        self._errors = operations[0].errors
        self._service = operations[0].service
        self._by_target = {operation.target: operation for operation in operations}
        self._only = operations[0] if self._protocol == REST_JSON else None
        self._verifier = verifier
        self._backends = backends
        self._admission = admission
        self._decoder = decoder
        self._lines = LineBudget()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; every error becomes a response."""
        identifier = str(uuid.uuid4())
        request_id.set(identifier)
        started = perf_counter()
        operation = self._only
        progress = _Progress()
        try:
            self._admission.check(self._service)
            head = _head(scope)
            operation = operation or self._by_target.get(head.headers.get("x-amz-target", ""))
            progress.admitted = admitted = self._verifier.admit(head)
            body = await self._admission.receive(receive, declared=int(head.headers.get("content-length", "0")))
            try:
                with self._admission.call(self._service):
                    checked, message = await self._check(operation, head.with_body(body), progress)
                    self._access.authorize(admitted.key, checked.name, message)
                    caller = self._access.caller(admitted.key)
                    answer = await self._backends().call(checked, message, caller=caller, wait_for=_wait_for(head))
            finally:
                self._admission.release(body)
            encoded = checked.encode(answer.message)
            self._audit(scope, operation, progress, outcome="OK", response=answer.message)
            if _std_log.isEnabledFor(logging.DEBUG):
                access_key_id = admitted.key.access_key_id
                _log.debug("request", operation=checked.name, access_key_id=access_key_id, millis=_millis(started))
        except ClientDisconnect:
            self._count(operation, _GONE, started)
            return await Response(status_code=_GONE)(scope, receive, send)
        except asyncio.CancelledError:
            # The server's grace is over; the task ends with this response.
            failure: Exception = Unavailable("the gateway is stopping; try again")
        except Exception as error:  # noqa: BLE001 - the single mapper: everything becomes a response here
            failure = error
        else:
            self._count(operation, 200, started)
            return await self._send(encoded, identifier, answer.event_offset, send)
        self._audit(scope, operation, progress, outcome=reason_of(failure))
        response = self._error_response(failure, operation, progress, identifier=identifier, started=started)
        self._count(operation, response.status_code, started)
        await response(scope, receive, send)

    def _count(self, operation: Operation | None, status: int, started: float) -> None:
        self._figures.count(None if operation is None else operation.name, status, began=started)

    async def _send(self, body: bytes, identifier: str, event_offset: str, send: Send) -> None:
        headers = [
            *self._headers,
            (_REQUEST_ID_BYTES, identifier.encode()),
            (b"content-length", b"%d" % len(body)),
        ]
        if event_offset:
            headers.append((_OFFSET_BYTES, event_offset.encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _check(
        self, operation: Operation | None, request: SignedRequest, progress: _Progress
    ) -> tuple[Operation, Message]:
        """Return the operation and its gRPC request, once the signature is proven."""
        admitted = progress.admitted
        assert admitted is not None

        def check() -> tuple[Operation, Message]:
            self._verifier.verify(request, admitted)
            progress.is_proven = True
            if operation is None:
                target = request.headers.get("x-amz-target", "")[:128]
                raise UnknownOperation(f"`X-Amz-Target`: got {target!r}, want AmazonPersonalize.OPERATION")
            progress.message = operation.decode(request.body)
            return operation, progress.message

        if len(request.body) <= _SMALL_BODY_BYTES:
            return check()
        return await asyncio.get_running_loop().run_in_executor(self._decoder, check)

    def _audit(
        self,
        scope: Scope,
        operation: Operation | None,
        progress: _Progress,
        *,
        outcome: str,
        response: Message | None = None,
    ) -> None:
        """Write the audit line of a call whose caller is proven."""
        if operation is None or progress.admitted is None or not progress.is_proven:
            return
        peer = "{}:{}".format(*client) if (client := scope.get("client")) else "unknown"
        call = self._access.audited(progress.admitted.key, operation.name, progress.message, peer=peer)
        if call is not None:
            call.record(outcome, resource=None if response is None else created_arn(response))

    def _error_response(
        self, error: Exception, operation: Operation | None, progress: _Progress, *, identifier: str, started: float
    ) -> Response:
        response = fault(error, protocol=self._protocol, modelled=self._errors)
        name = operation.name if operation else None
        with suppress(Exception):  # a log that cannot be written must not cost a caller the response
            # Who has proven nothing must not fill the disk.
            left_out = {} if progress.is_proven else self._lines.take(response.reason)
            if isinstance(error, Throttled) or left_out is None:
                pass
            elif response.status == 500:
                _log.error("request", operation=name, status=500, millis=_millis(started), exc_info=error, **left_out)
            else:
                # Without the message: it may quote the request, hence personal data.
                facts = {"status": response.status, "reason": response.reason, "millis": _millis(started)}
                _log.info("request", operation=name, **facts, **left_out)
        return Response(response.body, response.status, headers={**response.headers, _REQUEST_ID: identifier})


def create_app(
    operations: Iterable[Operation],
    *,
    verifier: SignatureVerifier,
    access: Access | None = None,
    connect: Callable[[], BackendClients],
    limits: CallLimits,
    stop: Stop,
    all_started: Callable[[], bool] = lambda: True,
    allowed_origins: Sequence[str] = (),
    figures: Figures = NO_FIGURES,
    tracer: Tracer = NO_TRACER,
) -> ASGIApp:
    """Build the ASGI application.

    Args:
        operations: All that are served.
        verifier: Authenticates callers.
        access: Their permissions; None for those of an installation whose settings name no account.
        connect: Opens the clients of the backends; called in the event loop at start-up.
        limits: Bounds of the resources that requests use.
        stop: The process's stop, which the health check reports.
        all_started: Whether every process of this gateway has started; until then the health check says no.
        allowed_origins: Origins whose pages may call from a browser, as `https://shop.example`; `*` allows all.
        figures: Count the requests.
        tracer: Traces them.
    """
    access, operations = access or Access(), tuple(operations)
    opened: list[BackendClients] = []
    admission = Admission(limits)
    # One thread: decoding holds the interpreter's lock for most of the time, so that more would gain nothing.
    decoder = ThreadPoolExecutor(1, thread_name_prefix="decoder")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        opened.append(connect())
        try:
            yield
        finally:
            await opened.pop().close(grace=stop.grace_seconds)
            decoder.shutdown(wait=False)

    def backends() -> BackendClients:
        return opened[0]

    counted = RequestFigures(figures)
    endpoints = {
        address: _Endpoint(
            group,
            verifier=verifier,
            access=access,
            backends=backends,
            admission=admission,
            decoder=decoder,
            figures=counted,
        )
        for address, group in _by_address(operations).items()
    }
    routes = [Route(path, endpoint, methods=[method]) for (method, path), endpoint in endpoints.items()]
    health = HealthCheck(backends, stop=stop, all_started=all_started)
    routes += [Route(path, health.serve, methods=["GET"]) for path in ("/health", "/ping")]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=_for_browsers(allowed_origins),
        exception_handlers={HTTPException: _no_operation, Exception: _broken},
    )
    app.router.redirect_slashes = False  # a redirect would not be signed
    # Only pages of other origins need what stands between the server and an endpoint.
    serving: ASGIApp = app if allowed_origins else partial(_serve, endpoints, app)
    return serving if tracer is NO_TRACER else TracedApp(serving, tracer, operations)


async def _serve(
    endpoints: Mapping[tuple[str, str], _Endpoint], others: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Give calls of operations to their endpoints, without Starlette's routing and middleware."""
    app = endpoints.get((scope["method"], scope["path"]), others) if scope["type"] == "http" else others
    await app(scope, receive, send)


def _for_browsers(allowed_origins: Sequence[str]) -> list[Middleware]:
    if not allowed_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(allowed_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=list(_EXPOSED_HEADERS),
            max_age=3600,
        )
    ]


def _by_address(operations: Iterable[Operation]) -> Mapping[tuple[str, str], list[Operation]]:
    groups: dict[tuple[str, str], list[Operation]] = {}
    for operation in operations:
        groups.setdefault((operation.http_method, operation.path), []).append(operation)
    return groups


async def _no_operation(request: Request, error: Exception) -> Response:
    """Respond to requests for addresses and methods that no operation has."""
    unknown = UnknownOperation(f"{request.method} {request.scope['path'][:128]}: got an address that no operation has")
    return _bare(unknown, status=error.status_code if isinstance(error, HTTPException) else None)


async def _broken(_: Request, error: Exception) -> Response:
    """Respond to what failed outside of an operation; the server logs the error."""
    return _bare(error)


def _bare(error: Exception, *, status: int | None = None) -> Response:
    response = fault(error, protocol=REST_JSON, modelled={})
    return Response(
        response.body, status or response.status, headers={**response.headers, _REQUEST_ID: str(uuid.uuid4())}
    )


def _head(scope: Scope) -> SignedRequest:
    """Return a request without its body."""
    headers: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in headers:
            several.setdefault(name, [headers[name]]).append(value)
        else:
            headers[name] = value
    for name, values in several.items():
        headers[name] = ",".join(values)
    path: bytes = scope["raw_path"]
    return SignedRequest(
        method=scope["method"],
        path=path.decode("latin-1").partition("?")[0],
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=b"",
    )


def _wait_for(head: SignedRequest) -> Position | None:
    """Return what of the event log the answer must include, by the request's headers; None for nothing.

    Raises:
        InvalidInput: It is no offset.
    """
    required = head.headers.get(WAIT_KEY)
    return None if required is None else Position.parse(required, field=WAIT_KEY)


def _millis(started: float) -> float:
    return round((perf_counter() - started) * 1000, 3)
