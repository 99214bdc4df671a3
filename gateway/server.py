"""The HTTP endpoint: one way for every request, from bytes to a gRPC call and back.

    request id → body → signature → operation → decode → call → encode

Each step raises from the tree of errors; one place answers them, in the protocol that the caller speaks.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from time import perf_counter

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from common.logs import get_logger, request_id
from gateway.auth import SignatureVerifier, SignedRequest
from gateway.errors import RequestTooLarge, UnknownOperation
from gateway.peers import Peers, healthy
from gateway.protocol import AWS_JSON, REST_JSON, Operation, fault

__all__ = ["create_app"]

_CONTENT_TYPES = {AWS_JSON: "application/x-amz-json-1.1", REST_JSON: "application/json"}
_REQUEST_ID = "x-amzn-requestid"
#: For callers who left before their answer: a status is needed, though nobody reads it.
_GONE = 499

_log = get_logger(__name__)
#: Tells cheaply whether a line would be written: there are thousands of requests each second.
_plain_log = logging.getLogger(__name__)


class _Endpoint:
    """Serves the operations of one address."""

    def __init__(
        self,
        operations: Iterable[Operation],
        *,
        verifier: SignatureVerifier,
        peers: Callable[[], Peers],
        max_body_bytes: int,
    ) -> None:
        listed = list(operations)
        self._protocol = listed[0].protocol
        self._errors = listed[0].errors
        self._by_target = {operation.target: operation for operation in listed}
        self._only = listed[0] if self._protocol == REST_JSON else None
        self._verifier = verifier
        self._peers = peers
        self._max_body_bytes = max_body_bytes

    async def serve(self, request: Request) -> Response:
        """Answer one request."""
        identifier = str(uuid.uuid4())
        request_id.set(identifier)
        started = perf_counter()
        operation: Operation | None = None
        try:
            body = await _read(request, limit=self._max_body_bytes)
            key = self._verifier.verify(_signed(request, body))
            operation = self._only or self._targeted(request.headers.get("x-amz-target"))
            answer = await self._peers().call(operation, operation.decode(body))
            response = Response(operation.encode(answer), headers=_headers(self._protocol, identifier))
        except ClientDisconnect:
            return Response(status_code=_GONE)
        except Exception as error:  # noqa: BLE001 - the single mapper: everything becomes an answer here
            return self._refuse(error, operation=operation, identifier=identifier, started=started)
        if _plain_log.isEnabledFor(logging.DEBUG):
            _log.debug("request", operation=operation.name, access_key_id=key.access_key_id, millis=_millis(started))
        return response

    def _targeted(self, target: str | None) -> Operation:
        operation = self._by_target.get(target or "")
        if operation is None:
            raise UnknownOperation(f"`X-Amz-Target`: got {(target or '')[:128]!r}, want AmazonPersonalize.OPERATION")
        return operation

    def _refuse(self, error: Exception, *, operation: Operation | None, identifier: str, started: float) -> Response:
        answer = fault(error, protocol=self._protocol, modelled=self._errors)
        name = operation.name if operation else None
        if answer.status == 500:
            _log.error("request", operation=name, status=500, millis=_millis(started), exc_info=error)
        else:
            # Without the message: it may quote the request, hence personal data.
            _log.info("request", operation=name, status=answer.status, reason=answer.reason, millis=_millis(started))
        return Response(answer.body, answer.status, headers={**answer.headers, _REQUEST_ID: identifier})


def create_app(
    operations: Iterable[Operation],
    *,
    verifier: SignatureVerifier,
    connect: Callable[[], Peers],
    max_body_bytes: int,
    grace_seconds: float,
) -> Starlette:
    """Build the ASGI application.

    Args:
        operations: What is served.
        verifier: Checks who calls.
        connect: Opens the connections to the services; called in the event loop at start-up.
        max_body_bytes: Largest body that is read.
        grace_seconds: Time that running calls get when the application stops.
    """
    opened: list[Peers] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        opened.append(connect())
        try:
            yield
        finally:
            await opened.pop().close(grace=grace_seconds)

    async def health(_: Request) -> Response:
        states = await opened[0].health()
        good = healthy(states)
        return JSONResponse({"status": "SERVING" if good else "NOT_SERVING", "peers": states}, 200 if good else 503)

    routes = []
    for (method, path), group in _by_address(operations).items():
        endpoint = _Endpoint(group, verifier=verifier, peers=lambda: opened[0], max_body_bytes=max_body_bytes)
        routes.append(Route(path, endpoint.serve, methods=[method]))
    routes += [Route(path, health, methods=["GET"]) for path in ("/health", "/ping")]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _no_operation})


def _by_address(operations: Iterable[Operation]) -> Mapping[tuple[str, str], list[Operation]]:
    groups: dict[tuple[str, str], list[Operation]] = {}
    for operation in operations:
        groups.setdefault((operation.http_method, operation.path), []).append(operation)
    return groups


async def _no_operation(request: Request, error: Exception) -> Response:
    """Answer requests for addresses and methods that no operation has."""
    unknown = UnknownOperation(f"{request.method} {request.url.path[:128]}: got an address that no operation has")
    answer = fault(unknown, protocol=REST_JSON, modelled={})
    status = error.status_code if isinstance(error, HTTPException) else answer.status
    return Response(answer.body, status, headers={**answer.headers, _REQUEST_ID: str(uuid.uuid4())})


async def _read(request: Request, *, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise RequestTooLarge(f"body: got more than {limit} bytes, want at most that many")
    return bytes(body)


def _signed(request: Request, body: bytes) -> SignedRequest:
    headers: dict[str, str] = {}
    for raw_name, raw_value in request.scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    path: bytes = request.scope["raw_path"]
    return SignedRequest(
        method=request.method,
        path=path.decode("latin-1").partition("?")[0],
        query=request.scope["query_string"].decode("latin-1"),
        headers=headers,
        body=body,
    )


def _headers(protocol: str, identifier: str) -> dict[str, str]:
    return {"content-type": _CONTENT_TYPES[protocol], _REQUEST_ID: identifier}


def _millis(started: float) -> float:
    return round((perf_counter() - started) * 1000, 3)
