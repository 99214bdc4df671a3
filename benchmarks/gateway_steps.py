"""What each step of a gateway's call costs by itself: `python -m benchmarks.gateway_steps`.

The steps run one after the other in one process, on the same signed requests and prepared answers as
`benchmarks.gateway`. A step's figure is the processor time of its thread per call, in the best of several repeats: the
least that it can cost, with everything it needs in the processor's caches. The gRPC client works with threads of its
own; its figure is the processor time of the whole process per call, with many calls at a time, which the echo server
answers from a process of its own.

A worker under load pays more for the same steps, because client, services and its threads take turns on the processors.
What is no step of ours (reading and writing HTTP, the event loop) is what `benchmarks.gateway` counts, less these.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import uvloop

from benchmarks.echo import echo_server, list_of_items
from benchmarks.gateway import request_bodies
from benchmarks.load.http1 import sign
from benchmarks.report import markdown_table, publish
from common.access_keys import AccessKeys
from common.auth import created_arn
from common.clock import SystemClock
from common.logs import configure_logging, request_id
from common.rpc import file_token
from gateway.auth import Access, Admitted, SignatureVerifier, SignedRequest
from gateway.backends import BACKENDS, BackendClients
from gateway.protocol import Operation, load_operations

_RESULTS: Final = 25
_PEER: Final = "127.0.0.1:50000"


@dataclass(frozen=True, slots=True)
class _Case:
    """One request, and what its steps work with."""

    operation: Operation
    request: SignedRequest
    admitted: Admitted
    verifier: SignatureVerifier
    access: Access
    clients: BackendClients


def cases(keys: AccessKeys, clients: BackendClients, operations: Mapping[str, Operation]) -> Mapping[str, _Case]:
    """Return the signed requests of `benchmarks.gateway` by operation."""
    key, verifier, access = keys.create("benchmark"), SignatureVerifier(keys, clock=SystemClock()), Access()
    prepared = {}
    for name, (path, body) in request_bodies().items():
        call = sign(f"http://127.0.0.1:8080{path}", json.dumps(body).encode(), key=key)
        length = str(len(call.body))
        headers = {"host": "127.0.0.1:8080", "user-agent": "h2load", "content-length": length, **call.headers}
        request = SignedRequest("POST", urlsplit(call.url).path, "", headers, call.body)
        prepared[name] = _Case(operations[name], request, verifier.admit(request), verifier, access, clients)
    return prepared


async def steps(case: _Case, *, calls: int, repeats: int, at_a_time: int) -> dict[str, float]:
    """Return microseconds of processor time per call, by step.

    Args:
        case: The request.
        calls: Per repeat.
        repeats: Of which the best counts.
        at_a_time: Calls of the gRPC client in flight together.
    """
    operation, key = case.operation, case.admitted.key
    message = operation.decode(case.request.body)
    answer = await case.clients.call(operation, message, caller=case.access.caller(key))

    def audit() -> None:
        call = case.access.audited(key, operation.name, message, peer=_PEER)
        if call is not None:
            call.record("OK", resource=created_arn(answer.message))

    todo: dict[str, Callable[[], object]] = {
        "request id": lambda: request_id.set(str(uuid.uuid4())),
        "headers of the signature, access key": lambda: case.verifier.admit(case.request),
        "signature": lambda: case.verifier.verify(case.request, case.admitted),
        "JSON to message, with validation": lambda: operation.decode(case.request.body),
        "policies": lambda: case.access.authorize(key, operation.name, message),
        "message to JSON": lambda: operation.encode(answer.message),
        "audit line": audit,
    }
    micros = {name: min(_micros(step, calls) for _ in range(repeats)) for name, step in todo.items()}

    async def client() -> None:
        for _ in range(max(1, calls // at_a_time)):
            await case.clients.call(operation, message, caller=case.access.caller(key))

    taken = []
    for _ in range(repeats):
        started = time.process_time()
        await asyncio.gather(*(client() for _ in range(at_a_time)))
        taken.append(1e6 * (time.process_time() - started) / (max(1, calls // at_a_time) * at_a_time))
    return {**micros, "gRPC client, with token and metadata": min(taken)}


def _micros(step: Callable[[], object], calls: int) -> float:
    started = time.thread_time()
    for _ in range(calls):
        step()
    return 1e6 * (time.thread_time() - started) / calls


async def measure(arguments: argparse.Namespace, *, echo: str, folder: Path) -> dict[str, dict[str, float]]:
    """Return the steps' microseconds by operation."""
    (token := folder / "token").write_text("of no server that checks it")
    operations = {operation.name: operation for operation in load_operations()}
    clients = BackendClients(
        dict.fromkeys(BACKENDS.values(), echo), operations=operations.values(), token=file_token(token)
    )
    try:
        figures = {}
        for name, case in cases(AccessKeys(folder / "keys.json"), clients, operations).items():
            figures[name] = await steps(
                case, calls=arguments.calls, repeats=arguments.repeats, at_a_time=arguments.connections
            )
        return figures
    finally:
        await clients.close(grace=1.0)


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=3000, help="calls per repeat")
    parser.add_argument("--repeats", type=int, default=7, help="repeats, of which the best counts")
    parser.add_argument("--connections", type=int, default=32, help="calls of the gRPC client at a time")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            (folder / "log").open("w") as log,
            echo_server(list_of_items(_RESULTS), processes=1, folder=folder) as echo,
        ):
            configure_logging("gateway", stream=log)  # audit lines are written as a gateway writes them, to a file
            figures = uvloop.run(measure(arguments, echo=echo, folder=folder))
            configure_logging("gateway", stream=sys.stderr)
    rounded = {name: {step: round(micros, 1) for step, micros in row.items()} for name, row in figures.items()}
    names = list(rounded)
    rows = [(step, *(rounded[name][step] for name in names)) for step in rounded[names[0]]]
    table = markdown_table(("step, CPU µs/call", *names), rows)
    settings = {name: getattr(arguments, name) for name in ("calls", "repeats", "connections")}
    publish({"settings": settings, "steps": rounded}, table=table, output=arguments.output)


if __name__ == "__main__":
    main()
