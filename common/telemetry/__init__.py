"""Telemetry of every process: figures for Prometheus, traces for OpenTelemetry; null objects where it is off.

Parts count and measure by `Figures`, servers tell a `CallObserver` of their calls, and `span` names a step of what is
traced. Only the composition roots know whether anybody looks: they make a `Telemetry` (`common.telemetry.process`).
"""

from common.telemetry.calls import CALL_FIGURES, NO_CALLS, Call, CallObserver, MeasuredCalls, MethodObserver
from common.telemetry.figures import (
    NO_FIGURES,
    SECONDS,
    Counter,
    Figure,
    Figures,
    Gauge,
    Histogram,
    Kind,
    Reading,
    Source,
)
from common.telemetry.tracing import NO_TRACER, TRACEPARENT, Span, Tracer, bind, bound, span, traceparent, unbind

__all__ = [
    "CALL_FIGURES",
    "NO_CALLS",
    "NO_FIGURES",
    "NO_TRACER",
    "SECONDS",
    "TRACEPARENT",
    "Call",
    "CallObserver",
    "Counter",
    "Figure",
    "Figures",
    "Gauge",
    "Histogram",
    "Kind",
    "MeasuredCalls",
    "MethodObserver",
    "Reading",
    "Source",
    "Span",
    "Tracer",
    "bind",
    "bound",
    "span",
    "traceparent",
    "unbind",
]
