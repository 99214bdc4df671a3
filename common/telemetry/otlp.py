"""Traces by OpenTelemetry's own library, sent over OTLP; the only module that imports it, and only where it is on.

It has threads and a gRPC channel, and is therefore made in the process that traces, after it was forked.
"""

from __future__ import annotations

import threading
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from common.telemetry.tracing import TRACEPARENT, Span

__all__ = ["OtlpTracer"]

_EXPORT_SECONDS: Final = 5
_CLOSE_SECONDS: Final = 2.0
_SEND_EVERY_MILLIS: Final = 1000.0
#: Spans that wait to be sent; more are dropped, so that a collector that is away costs memory for these only.
_MAX_WAITING: Final = 2048
_MAX_BATCH: Final = 512
_propagator = TraceContextTextMapPropagator()


class OtlpTracer:
    """Makes spans and sends them; see `Tracer`.

    Args:
        endpoint: `http://HOST:PORT` or `https://HOST:PORT` of a collector that takes OTLP over gRPC.
        service: Name of the service.
        instance: Name of the process.
        ratio: Share of new traces that are made; those of callers are made where the caller makes them.
    """

    def __init__(self, endpoint: str, *, service: str, instance: str, ratio: float) -> None:
        self._exporter = OTLPSpanExporter(
            endpoint=endpoint, insecure=not endpoint.startswith("https://"), timeout=_EXPORT_SECONDS
        )
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=_MAX_WAITING,
            schedule_delay_millis=_SEND_EVERY_MILLIS,
            max_export_batch_size=_MAX_BATCH,
        )
        provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)),
            resource=Resource({"service.name": service, "service.instance.id": instance}),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("tailorbird")

    def begin(self, name: str, *, parent: str = "", serves: bool = False) -> Span:
        """Begin a span."""
        context = _propagator.extract({TRACEPARENT: parent}) if parent else None
        kind = trace.SpanKind.SERVER if serves else trace.SpanKind.INTERNAL
        return _OtlpSpan(self._tracer, self._tracer.start_span(name, context=context, kind=kind))

    def close(self) -> None:
        """Send what is not sent yet, for a bounded time."""
        closing = threading.Thread(target=self._processor.shutdown, name="traces-close", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)
        if closing.is_alive():
            self._exporter.shutdown()  # ends a call that waits for a collector which does not answer


class _OtlpSpan:
    """A span that may be one of those that are not made, and only tell others so."""

    def __init__(self, tracer: trace.Tracer, current: trace.Span) -> None:
        self._tracer = tracer
        self._span = current

    @property
    def traceparent(self) -> str:
        """What tells another process of it."""
        facts = self._span.get_span_context()
        return f"00-{facts.trace_id:032x}-{facts.span_id:016x}-{facts.trace_flags:02x}"

    def child(self, name: str) -> Span:
        """Begin a span within this one."""
        if not self._span.is_recording():
            return self
        context = trace.set_span_in_context(self._span)
        return _OtlpSpan(self._tracer, self._tracer.start_span(name, context=context))

    def end(self, *, error: str = "", **attributes: str) -> None:
        """End it."""
        if not self._span.is_recording():
            return
        self._span.set_attributes({name.replace("__", "."): value for name, value in attributes.items()})
        if error:
            self._span.set_status(trace.StatusCode.ERROR, error)
        self._span.end()
