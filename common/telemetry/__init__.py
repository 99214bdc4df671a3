"""Telemetry of every process: figures for Prometheus, traces for OpenTelemetry; null objects where it is off.

Parts count and measure by `Figures`, and servers tell a `CallObserver` of their calls. Only the composition roots know
whether anybody looks: they make a `Telemetry` (`common.telemetry.process`).
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

__all__ = [
    "CALL_FIGURES",
    "NO_CALLS",
    "NO_FIGURES",
    "SECONDS",
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
]
