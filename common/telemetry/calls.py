"""What a gRPC server tells about its calls: how many, how they ended, how long they took, and a span for each."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Final, Protocol

from common.telemetry.figures import SECONDS, Counter, Figure, Figures, Kind
from common.telemetry.tracing import NO_TRACER, TRACEPARENT, Tracer, bind, unbind

__all__ = ["CALL_FIGURES", "NO_CALLS", "Call", "CallObserver", "MeasuredCalls", "Metadata", "MethodObserver"]

Metadata = Sequence[tuple[str, str | bytes]]
_LABELS: Final = ("grpc_type", "grpc_service", "grpc_method")
_STARTED: Final = Figure(Kind.COUNTER, "grpc_server_started_total", "Calls that have begun.", _LABELS)
_HANDLED: Final = Figure(
    Kind.COUNTER, "grpc_server_handled_total", "Calls that have ended, by status.", (*_LABELS, "grpc_code")
)
_SECONDS: Final = Figure(
    Kind.HISTOGRAM,
    "grpc_server_handling_seconds",
    "Time from when a call begins, which may be after a wait, to its answer, or to the end of its stream.",
    _LABELS,
    SECONDS,
)
_WAIT: Final = Figure(
    Kind.HISTOGRAM,
    "tailorbird_rpc_wait_seconds",
    "Time that calls had waited inside of gRPC before they began, which is no part of the handling: a sample for every "
    "half second in which calls come or are in progress, and for every tenth of one while they wait long.",
    bounds=SECONDS,
)
#: Of every process with a gRPC server.
CALL_FIGURES: Final = (_STARTED, _HANDLED, _SECONDS, _WAIT)
#: Services whose calls begin a trace. Those between the processes, mostly long polls, are part of one or have none.
_TRACED: Final = ("tailorbird.control.", "tailorbird.events.", "tailorbird.runtime.")
#: Statuses that are no caller's mistake.
_FAULTS: Final = frozenset({"UNKNOWN", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "DEADLINE_EXCEEDED"})
#: Methods that a server does not have are one to it, whatever callers name them.
_UNKNOWN: Final = "unknown"


class Call(Protocol):
    """A call in progress."""

    def end(self, code: str) -> None:
        """Note how it ended: the name of a gRPC status."""


class MethodObserver(Protocol):
    """Watches the calls of one method."""

    def begin(self, metadata: Metadata) -> Call:
        """Note that a call begins, in the task that serves it."""
        ...


class CallObserver(Protocol):
    """Watches the calls of a server."""

    def method(self, name: str, *, streams: tuple[bool, bool]) -> MethodObserver:
        """Return what watches a method.

        Args:
            name: `/package.Service/Method`.
            streams: Whether the request and the response are streams.
        """
        ...

    def unknown(self) -> None:
        """Note a call of a method that the server does not have."""

    def waited(self, seconds: float) -> None:
        """Note how long a call has waited until it began."""


class _NoCalls:
    """Watches nothing: observer, method and call in one."""

    def method(self, name: str, *, streams: tuple[bool, bool]) -> MethodObserver:  # noqa: ARG002 - the interface's
        """Return what watches nothing."""
        return self

    def unknown(self) -> None:
        """Do nothing."""

    def waited(self, seconds: float) -> None:
        """Do nothing."""

    def begin(self, metadata: Metadata) -> Call:  # noqa: ARG002 - the interface's signature
        """Do nothing."""
        return self

    def end(self, code: str) -> None:
        """Do nothing."""


NO_CALLS: Final[CallObserver] = _NoCalls()


class MeasuredCalls:
    """Counts the calls of a server and measures them; see `CallObserver`.

    Args:
        figures: Of the process.
        tracer: Of the process.
    """

    def __init__(self, figures: Figures, tracer: Tracer = NO_TRACER) -> None:
        self._figures = figures
        self._tracer = tracer
        self._wait = figures.histogram(_WAIT)

    def method(self, name: str, *, streams: tuple[bool, bool]) -> MethodObserver:
        """Return what watches a method."""
        _, service, method = name.split("/")
        measured = _Method(self._figures, (_type(streams), service, method))
        return measured if self._tracer is NO_TRACER else _TracedMethod(measured, self._tracer, name[1:])

    def unknown(self) -> None:
        """Note a call of a method that the server does not have, which gRPC answers itself."""
        labels = (_type((False, False)), _UNKNOWN, _UNKNOWN)
        self._figures.counter(_STARTED, *labels).add()
        self._figures.counter(_HANDLED, *labels, "UNIMPLEMENTED").add()

    def waited(self, seconds: float) -> None:
        """Note how long a call has waited until it began."""
        self._wait.observe(seconds)


class _Method:
    def __init__(self, figures: Figures, labels: tuple[str, str, str]) -> None:
        self._figures = figures
        self._labels = labels
        self._started = figures.counter(_STARTED, *labels)
        self._seconds = figures.histogram(_SECONDS, *labels)
        self._handled: dict[str, Counter] = {}

    def begin(self, metadata: Metadata) -> Call:  # noqa: ARG002 - the interface's signature
        """Note that a call begins."""
        self._started.add()
        return _MeasuredCall(self, perf_counter())

    def ended(self, code: str, seconds: float) -> None:
        """Note how a call ended, and how long it took."""
        handled = self._handled.get(code)
        if handled is None:
            handled = self._handled[code] = self._figures.counter(_HANDLED, *self._labels, code)
        handled.add()
        self._seconds.observe(seconds)


class _MeasuredCall:
    __slots__ = ("_began", "_method")

    def __init__(self, method: _Method, began: float) -> None:
        self._method = method
        self._began = began

    def end(self, code: str) -> None:
        """Note how it ended."""
        self._method.ended(code, perf_counter() - self._began)


class _TracedMethod:
    """A method whose calls are traced as well."""

    def __init__(self, measured: _Method, tracer: Tracer, name: str) -> None:
        self._measured = measured
        self._tracer = tracer
        self._name = name
        self._begins_traces = name.startswith(_TRACED)

    def begin(self, metadata: Metadata) -> Call:
        """Note that a call begins, in the task that serves it."""
        call = self._measured.begin(metadata)
        parent = next((value for key, value in metadata if key == TRACEPARENT), "")
        if not isinstance(parent, str) or not (parent or self._begins_traces):
            return call
        return _TracedCall(call, self._tracer, self._name, parent)


class _TracedCall:
    __slots__ = ("_call", "_span", "_token")

    def __init__(self, call: Call, tracer: Tracer, name: str, parent: str) -> None:
        self._call = call
        self._span = tracer.begin(name, parent=parent, serves=True)
        self._token = bind(self._span)

    def end(self, code: str) -> None:
        """Note how it ended."""
        unbind(self._token)
        self._span.end(error=code if code in _FAULTS else "", rpc__system="grpc", rpc__status=code)
        self._call.end(code)


def _type(streams: tuple[bool, bool]) -> str:
    return {
        (False, False): "unary",
        (True, False): "client_stream",
        (False, True): "server_stream",
        (True, True): "bidi_stream",
    }[streams]
