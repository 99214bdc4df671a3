"""The server interceptors: thin adapters of `CallGate` to grpc's two stacks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

import grpc
import grpc.aio

from common.rpc.gate import REQUEST_ID_KEY, CallGate

__all__ = ["AioGateInterceptor", "GateInterceptor"]

# Generic for the type checker only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class GateInterceptor(grpc.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Guards every call of a sync server.

    The abort stands outside of any handler of exceptions: in this stack it raises a bare `Exception`, and whoever
    catches that turns a deliberate status into INTERNAL.
    """

    def __init__(self, gate: CallGate) -> None:
        self._gate = gate

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler that serves the call."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        return _rewrap(handler, partial(self._unary, method), partial(self._stream, method))

    def _unary(self, method: str, behaviour: Callable[[Any, grpc.ServicerContext], Any]) -> Callable[..., Any]:
        gate = self._gate

        def guarded(request: Any, context: grpc.ServicerContext) -> Any:
            metadata = context.invocation_metadata()
            scope = gate.open(method, metadata)
            context.set_trailing_metadata(((REQUEST_ID_KEY, scope.request_id),))
            try:
                gate.admit(method, metadata)
                response = behaviour(request, context)
            except Exception as error:  # noqa: BLE001 - the single mapper: everything becomes a status here
                status = gate.failed(scope, error)
            else:
                gate.succeeded(scope)
                return response
            context.abort_with_status(_with_request_id(status, scope.request_id))

        return guarded

    def _stream(self, method: str, behaviour: Callable[[Any, grpc.ServicerContext], Any]) -> Callable[..., Any]:
        gate = self._gate

        def guarded(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            metadata = context.invocation_metadata()
            scope = gate.open(method, metadata)
            try:
                gate.admit(method, metadata)
                yield from behaviour(request, context)
            except Exception as error:  # noqa: BLE001 - the single mapper: everything becomes a status here
                status = gate.failed(scope, error)
            else:
                return
            context.abort_with_status(_with_request_id(status, scope.request_id))

        return guarded


class AioGateInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Guards every call of an aio server; wrapped handlers are kept, one per method."""

    def __init__(self, gate: CallGate) -> None:
        self._gate = gate
        self._wrapped: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler that serves the call."""
        method = handler_call_details.method
        if (known := self._wrapped.get(method)) is not None:
            return known
        handler: Handler | None = await continuation(handler_call_details)
        if handler is None:
            return None
        wrapped = _rewrap(handler, partial(self._unary, method), partial(self._stream, method))
        if wrapped is not None:
            self._wrapped[method] = wrapped
        return wrapped

    def _unary(self, method: str, behaviour: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        gate = self._gate

        async def guarded(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            metadata: Any = context.invocation_metadata() or ()
            scope = gate.open(method, metadata)
            context.set_trailing_metadata(((REQUEST_ID_KEY, scope.request_id),))
            try:
                gate.admit(method, metadata)
                response = await behaviour(request, context)
            except Exception as error:  # noqa: BLE001 - the single mapper: everything becomes a status here
                status = gate.failed(scope, error)
            else:
                gate.succeeded(scope)
                return response
            await _abort(context, status, scope.request_id)

        return guarded

    def _stream(self, method: str, behaviour: Callable[..., Any]) -> Callable[..., AsyncIterator[Any]]:
        gate = self._gate

        async def guarded(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            metadata: Any = context.invocation_metadata() or ()
            scope = gate.open(method, metadata)
            try:
                gate.admit(method, metadata)
                async for response in behaviour(request, context):
                    yield response
            except Exception as error:  # noqa: BLE001 - the single mapper: everything becomes a status here
                status = gate.failed(scope, error)
            else:
                return
            await _abort(context, status, scope.request_id)

        return guarded


def _rewrap(handler: Handler, unary: Callable[[Any], Any], stream: Callable[[Any], Any]) -> Any:
    """Return the handler with its behaviour replaced; None (so UNIMPLEMENTED) for client streaming, used nowhere."""
    if handler.unary_unary is not None:
        make, behaviour = grpc.unary_unary_rpc_method_handler, unary(handler.unary_unary)
    elif handler.unary_stream is not None:
        make, behaviour = grpc.unary_stream_rpc_method_handler, stream(handler.unary_stream)
    elif handler.stream_stream is not None:
        make, behaviour = grpc.stream_stream_rpc_method_handler, stream(handler.stream_stream)
    else:
        return None
    return make(behaviour, handler.request_deserializer, handler.response_serializer)


def _with_request_id(status: grpc.Status, request_id: str) -> grpc.Status:
    return _Status(status.code, status.details, (*(status.trailing_metadata or ()), (REQUEST_ID_KEY, request_id)))


async def _abort(context: grpc.aio.ServicerContext[Any, Any], status: grpc.Status, request_id: str) -> None:
    # grpc.aio has no abort_with_status.
    await context.abort(status.code, status.details, (*(status.trailing_metadata or ()), (REQUEST_ID_KEY, request_id)))


class _Status(grpc.Status):
    """A plain status; grpc only offers the abstract class."""

    def __init__(self, code: grpc.StatusCode, details: str, trailing_metadata: Any) -> None:
        self.code = code
        self.details = details
        self.trailing_metadata = trailing_metadata
