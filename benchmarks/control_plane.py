"""The control plane compared with an echo server of the same stack: `python -m benchmarks.control_plane`.

In every round each database's control plane and the echo server are called by the same clients, one after the other:
DescribeSchema, ListSchemas (a page of 100) and CreateSchema, on SQLite and on a PostgreSQL that this command starts,
both of which write to the disk what they acknowledge. A client makes one call at a time over gRPC, on a connection of
its own; all clients are coroutines of this process, which shares the machine with the servers.

There are two measures. Calls per second and their share of the echo server's are what clients see. Processor time per
call is that of the server's process alone; what PostgreSQL's own processes take is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import uvloop
from google.protobuf.message import Message

from benchmarks.echo import echo_server, list_of_items
from benchmarks.load.h2load import cpu_seconds
from benchmarks.postgresql import postgres_server
from benchmarks.processes import free_base, running_process
from benchmarks.report import markdown_table, percentile, publish
from common.auth import TokenIssuer, generate_key_pair
from common.errors import Unavailable
from common.rpc import from_rpc_error
from common.rpc.channels import bare_aio_channel, call_metadata, deadline_seconds
from common.rpc.probe import is_serving
from protos.tailorbird.control.v1 import schema_pb2
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as runtime

_ECHO: Final = "echo"
_DATABASES: Final = ("sqlite", "postgresql")
_PAGE: Final = 100
_SCHEMA: Final = json.dumps(
    {
        "type": "record",
        "name": "Interactions",
        "fields": [
            {"name": "USER_ID", "type": "string"},
            {"name": "ITEM_ID", "type": "string"},
            {"name": "TIMESTAMP", "type": "long"},
        ],
        "version": "1.0",
    }
)
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class _Operation:
    """What one client calls again and again.

    Attributes:
        method: Full name as on the wire: `/package.Service/Method`.
        request: Makes the next request.
        response: Class of the answer.
        is_right: Whether an answer is what was asked for.
    """

    method: str
    request: Callable[[], Message]
    response: type[Message]
    is_right: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the calls of one round came to; see `benchmarks.load.h2load.LoadResult`."""

    per_second: float
    latencies_ms: Sequence[float]
    cpu_micros: float


def _create() -> _Operation:
    return _Operation(
        "/tailorbird.control.v1.ControlPlaneService/CreateSchema",
        lambda: schema_pb2.CreateSchemaRequest(name=f"schema-{next(_numbers)}", schema=_SCHEMA),
        schema_pb2.CreateSchemaResponse,
        lambda answer: bool(answer.schema_arn),
    )


def _operations(arn: str) -> dict[str, _Operation]:
    """Return what is measured, given the ARN of a schema that exists, by name."""
    service = "/tailorbird.control.v1.ControlPlaneService"
    return {
        "DescribeSchema": _Operation(
            f"{service}/DescribeSchema",
            lambda: schema_pb2.DescribeSchemaRequest(schema_arn=arn),
            schema_pb2.DescribeSchemaResponse,
            lambda answer: answer.schema.schema_arn == arn,
        ),
        "ListSchemas": _Operation(
            f"{service}/ListSchemas",
            lambda: schema_pb2.ListSchemasRequest(max_results=_PAGE),
            schema_pb2.ListSchemasResponse,
            lambda answer: len(answer.schemas) == _PAGE,
        ),
        "CreateSchema": _create(),
    }


def _echo() -> _Operation:
    answer = list_of_items(25)
    return _Operation(
        "/tailorbird.runtime.v1.RuntimeService/GetRecommendations",
        lambda: runtime.GetRecommendationsRequest(user_id="196", num_results=25),
        runtime.GetRecommendationsResponse,
        lambda got: got == answer,
    )


async def _calls(
    channel: grpc.aio.Channel, operation: _Operation, *, calls: int, token: str
) -> list[tuple[float, Any]]:
    """Make calls one after the other; return the milliseconds that each took, and its answer.

    Raises:
        TailorbirdError: A call failed.
    """
    call = channel.unary_unary(
        operation.method,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=operation.response.FromString,
    )
    done = []
    for _ in range(calls):
        started = time.perf_counter()
        try:
            answer = await call(
                operation.request(), timeout=deadline_seconds(operation.method), metadata=call_metadata(token)
            )
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        done.append((1000 * (time.perf_counter() - started), answer))
    return done


async def press(address: str, operation: _Operation, *, clients: int, calls: int, token: str) -> _Outcome:
    """Let clients call a server side by side.

    Args:
        address: `host:port`.
        operation: What they call.
        clients: How many.
        calls: Of all together.
        token: Bearer token.

    Raises:
        Unavailable: An answer is not what was asked for: then the figures say nothing.
        TailorbirdError: A call failed, likewise.
    """
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(bare_aio_channel(address)) for _ in range(clients)]
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        each = -(-calls // clients)
        before, started = cpu_seconds(address), time.perf_counter()
        done = await asyncio.gather(*(_calls(channel, operation, calls=each, token=token) for channel in channels))
        seconds, taken = time.perf_counter() - started, cpu_seconds(address) - before
    wrong = sum(not operation.is_right(answer) for some in done for _, answer in some)
    if wrong:
        raise Unavailable(f"{operation.method}: got {wrong} answers that are not what was asked for, want none")
    latencies = sorted(latency for some in done for latency, _ in some)
    return _Outcome(len(latencies) / seconds, latencies, 1e6 * taken / len(latencies))


@contextmanager
def running_control_plane(database_url: str, *, public_key: Path, folder: Path) -> Iterator[str]:
    """Run a control plane, and yield its `host:port`.

    Args:
        database_url: Its database.
        public_key: Verifies tokens.
        folder: For everything that is written.
    """
    address = f"127.0.0.1:{free_base(1)}"
    given = {
        "LISTEN": address,
        "PUBLIC_KEY_FILE": str(public_key),
        "DATABASE_URL": database_url,
        "STORE_URL": str(folder / "store"),
        "MAX_SCHEMAS": "1000000000",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TAILORBIRD_")}
    with running_process(
        [sys.executable, "-m", "control_plane"],
        log=folder / f"control-plane-{database_url.partition(':')[0]}.log",
        is_ready=lambda: is_serving(address),
        environ={**kept, **{f"TAILORBIRD_{name}": value for name, value in given.items()}},
    ):
        yield address


def measure(arguments: argparse.Namespace, *, folder: Path) -> dict[tuple[str, str, int], list[_Outcome]]:
    """Return the outcomes of all rounds, by server, operation and number of clients."""
    private, public = folder / "private.pem", folder / "public.pem"
    generate_key_pair(private, public)
    token = TokenIssuer(private.read_bytes()).issue("client", subject="benchmark", lifetime=timedelta(hours=6))
    outcomes: dict[tuple[str, str, int], list[_Outcome]] = {}
    with ExitStack() as running:
        postgres = running.enter_context(postgres_server(fsync="on", synchronous_commit="on", full_page_writes="on"))
        urls = {
            "sqlite": f"sqlite:///{folder / 'catalogue.db'}",
            "postgresql": postgres.url(postgres.create_database()),
        }
        echo = running.enter_context(echo_server(list_of_items(25), processes=1, folder=folder))
        planned: list[tuple[str, str, str, _Operation]] = [(_ECHO, echo, "GetRecommendations", _echo())]
        for database in _DATABASES:
            address = running.enter_context(running_control_plane(urls[database], public_key=public, folder=folder))
            arn = uvloop.run(_prepare(address, token=token))
            planned += [(database, address, name, operation) for name, operation in _operations(arn).items()]
        for number in range(arguments.rounds + 1):
            for clients, (server, address, name, operation) in itertools.product(arguments.clients, planned):
                outcome = uvloop.run(press(address, operation, clients=clients, calls=arguments.calls, token=token))
                if number:  # first calls of a process are slower
                    outcomes.setdefault((server, name, clients), []).append(outcome)
    return outcomes


async def _prepare(address: str, *, token: str) -> str:
    """Create a page of schemas and return the ARN of one."""
    async with bare_aio_channel(address) as channel:
        _, answer = (await _calls(channel, _create(), calls=_PAGE, token=token))[0]
    arn: str = answer.schema_arn
    return arn


def summary(outcomes: Sequence[_Outcome], echo: Sequence[_Outcome]) -> dict[str, float]:
    """Return the figures of one operation over all rounds, beside the echo server's with as many clients."""
    latencies = sorted(latency for outcome in outcomes for latency in outcome.latencies_ms)
    shares = [mine.per_second / its.per_second for mine, its in zip(outcomes, echo, strict=True)]
    return {
        "calls": len(latencies),
        "per_second": round(statistics.median(outcome.per_second for outcome in outcomes), 1),
        "share_of_echo": round(statistics.median(shares), 3),
        "p50_ms": round(percentile(latencies, 0.5), 2),
        "p99_ms": round(percentile(latencies, 0.99), 2),
        "cpu_micros": round(statistics.median(outcome.cpu_micros for outcome in outcomes), 1),
    }


def report(outcomes: Mapping[tuple[str, str, int], Sequence[_Outcome]], *, arguments: argparse.Namespace) -> None:
    """Print and write the figures."""
    figures = [
        {"server": server, "call": name, "clients": clients}
        | summary(rounds, outcomes[_ECHO, "GetRecommendations", clients])
        for (server, name, clients), rounds in outcomes.items()
    ]
    header = (
        "server",
        "call",
        "clients",
        "calls",
        "calls/s",
        "share of echo",
        "p50 ms",
        "p99 ms",
        "server CPU µs/call",
    )
    table = markdown_table(header, [tuple(row.values()) for row in figures])
    settings = {name: getattr(arguments, name) for name in ("rounds", "calls", "clients")}
    publish({"settings": settings, "figures": figures}, table=table, output=arguments.output)


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds per server, operation and number of clients")
    parser.add_argument("--calls", type=int, default=400, help="calls per round, of all clients together")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8], help="callers side by side")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = measure(arguments, folder=Path(folder))
    report(outcomes, arguments=arguments)


if __name__ == "__main__":
    main()
