"""A collector that takes traces over OTLP and keeps them, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True)
class Received:
    """A span with the service that sent it."""

    service: str
    name: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    attributes: dict[str, str]
    failed: bool


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what it gets."""

    spans: list[Received] = field(default_factory=list)
    endpoint: str = ""

    def Export(self, request, context):
        for group in request.resource_spans:
            service = next(item.value.string_value for item in group.resource.attributes if item.key == "service.name")
            for scope in group.scope_spans:
                self.spans += [
                    Received(
                        service,
                        one.name,
                        one.trace_id,
                        one.span_id,
                        one.parent_span_id,
                        {item.key: item.value.string_value for item in one.attributes},
                        one.status.code == one.status.STATUS_CODE_ERROR,
                    )
                    for one in scope.spans
                ]
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def collector() -> Iterator[Collector]:
    """Run a collector on a free loopback port."""
    made = Collector()
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(made, server)
    made.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield made
    finally:
        server.stop(0).wait()
