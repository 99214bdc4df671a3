"""The handlers of a server: a thin adapter of `CallPolicy` and `Calls` to grpc's aio stack.

They are wrapped once, at their first call, and not by an interceptor, for which gRPC makes coroutines at each call.

Every method is registered as one with a request stream, which is the same on the wire: gRPC then hands a call over
before its message has arrived. So the caller is authenticated first, the wait for the message is bounded, and bytes
that are not a message are rejected here and not by gRPC, which would log a stack trace for them.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from common.auth import OPEN, admitted_roles, created_arn, is_between_processes
from common.errors import InvalidInput, reason_of
from common.rpc.blocking import asynchronous
from common.rpc.call_policy import REQUEST_ID_KEY, CallPolicy, Metadata
from common.rpc.channels import deadline_seconds
from common.rpc.limits import Calls
from common.rpc.waits import CallWaits
from common.settings import CallLimits
from common.telemetry import NO_CALLS, CallObserver

__all__ = ["CallHandlers", "invocation_metadata"]

# Generic for the type checker only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Behaviour = Callable[[Any, Context], Awaitable[Any]]
_EOF: Final[Any] = grpc.aio.EOF  # type: ignore[attr-defined]  # missing in the stubs only
_WATCH: Final = "/grpc.health.v1.Health/Watch"
#: Of the call that this task serves: gRPC makes it anew, from its own form, whenever a context is asked for it.
_metadata: ContextVar[Metadata] = ContextVar("metadata")


class CallHandlers(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """All methods of a server, with the policy and the limits applied to every call.

    Generated `add_XServicer_to_server` functions take it in the place of a server.

    Args:
        policy: Authenticates callers and logs calls.
        calls: Limits of calls with a token.
        internal: Limits of those that only processes of the installation may make.
        probes: Limits of calls of methods that need no token.
        waits: Is told of each call that begins, and of those that end before there are limits for them.
        observer: Is told how calls begin and end.
    """

    def __init__(
        self,
        policy: CallPolicy,
        *,
        calls: Calls,
        internal: Calls,
        probes: Calls,
        waits: CallWaits,
        observer: CallObserver = NO_CALLS,
    ) -> None:
        self._policy = policy
        self._observer = observer
        self._calls = calls
        self._internal = internal
        self._probes = probes
        self._waits = waits
        self._added: list[Any] = []
        self._wrapped: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[Any]) -> None:
        """Serve what some handlers serve; called by generated code."""
        self._added.extend(generic_rpc_handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Any]) -> None:
        """Do nothing: generated code gives the same handlers to `add_generic_rpc_handlers`."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of a call, in the task that will serve it; None if there is no such method."""
        method = handler_call_details.method
        _metadata.set(handler_call_details.invocation_metadata or ())
        if (cached := self._wrapped.get(method)) is not None:
            return cached
        for added in self._added:
            if (handler := added.service(handler_call_details)) is not None:
                wrapped = self._wrapped[method] = self._wrap(method, handler)
                return wrapped
        self._observer.unknown()
        return None

    def _wrap(self, method: str, handler: Any) -> Any:
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        if handler.response_streaming:
            make, respond = grpc.stream_stream_rpc_method_handler, _streaming(behaviour)
        else:
            make, respond = grpc.stream_unary_rpc_method_handler, asynchronous(method, behaviour)
        guarded = self._guard(method, handler, respond)
        # No deserializer: the message comes as bytes, and is parsed where a failure can be turned into a status.
        return make(guarded, None, handler.response_serializer)

    def _limited_by(self, method: str) -> Calls:
        if admitted_roles(method) is OPEN:
            return self._probes
        return self._internal if is_between_processes(method) else self._calls

    def _guard(self, method: str, handler: Any, respond: Behaviour) -> Behaviour:
        policy, limits = self._policy, self._calls.limits
        parse, streams = handler.request_deserializer, handler.request_streaming
        lasting = streams or handler.response_streaming
        seconds = _stream_seconds(method, limits) if lasting else deadline_seconds(method)
        calls = self._limited_by(method)
        observed = self._observer.method(method, streams=(streams, handler.response_streaming))
        audits, waits = policy.audits(method), self._waits

        async def guarded(_: Any, context: Context) -> Any:
            waits.begin()
            metadata = _metadata.get()
            scope, seen = policy.open(method, metadata), observed.begin(metadata)
            context.set_trailing_metadata(((REQUEST_ID_KEY, scope.request_id),))
            task = audited = None
            response: Any = None
            outcome = code = "CANCELLED"
            try:
                identity = policy.admit(scope)
                if method == _WATCH and len(calls) >= limits.max_watches:
                    # By gRPC's protocol of health checking such a client goes on without watching.
                    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "health: too many watch it, want Check instead")
                task = calls.enter(seconds=limits.receive_seconds)
                request: Any = _messages(context, parse) if streams else _parsed(parse, await context.read())
                if not streams:
                    if audits:
                        audited = policy.audited(identity, method, request, peer=context.peer())
                    policy.authorize(identity, method, request)
                # A caller's deadline does not extend a stream; the stubs leave the None out.
                remaining: float | None = None if lasting else context.time_remaining()
                calls.proceed(task, seconds=seconds if remaining is None else remaining + limits.send_seconds)
                response = await respond(request, context)
                calls.proceed(task, seconds=limits.send_seconds)
                outcome = code = "OK"
            except grpc.aio.AbortError:
                policy.aborted(scope, context.code())
                outcome = code = context.code().name
                raise
            except asyncio.CancelledError:
                # Cancelled by a caller who left, unless it was ended here.
                reason = None if task is None else calls.end_reason(task)
                if task is None or reason is None:
                    raise
                task.uncancel()
                status, outcome = policy.failed(scope, reason), reason.reason
                code = status.code.name
            except Exception as error:  # noqa: BLE001 - the single mapper: everything becomes a status here
                status, outcome = policy.failed(scope, error), reason_of(error)
                code = status.code.name
            else:
                policy.succeeded(scope)
                return response
            finally:
                if task is None:
                    waits.end()
                seen.end(code)
                if audited is not None:
                    audited.record(outcome, resource=created_arn(response) if outcome == "OK" else None)
            await _abort(context, status, scope.request_id)

        return guarded


def invocation_metadata() -> Metadata:
    """Return the metadata of the call that this task serves.

    Raises:
        LookupError: It serves none, or one of a server that is not made of `CallHandlers`.
    """
    return _metadata.get()


def _stream_seconds(method: str, limits: CallLimits) -> float:
    return math.inf if method == _WATCH else limits.stream_seconds


async def _messages(context: Context, parse: Callable[[bytes], Any]) -> AsyncIterator[Any]:
    while (raw := await context.read()) is not _EOF:
        yield _parsed(parse, raw)


def _parsed(parse: Callable[[bytes], Any], raw: Any) -> Any:
    if raw is _EOF:
        raise InvalidInput("call: got no message, want one")
    try:
        return parse(raw)
    except DecodeError:
        raise InvalidInput("call: got bytes that are no message of the method, want what its contract says") from None


def _streaming(behaviour: Callable[..., Any]) -> Behaviour:
    """Return a streaming method as a coroutine that writes: servicers may be that, or asynchronous generators."""

    async def respond(request: Any, context: Context) -> None:
        if not inspect.isasyncgenfunction(behaviour):
            await behaviour(request, context)
            return
        async for response in behaviour(request, context):
            await context.write(response)

    return respond


async def _abort(context: Context, status: grpc.Status, request_id: str) -> None:
    # grpc.aio has no abort_with_status that keeps what was set before.
    await context.abort(status.code, status.details, (*(status.trailing_metadata or ()), (REQUEST_ID_KEY, request_id)))
