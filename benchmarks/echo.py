"""The echo server: what this stack can do at best, when a prepared answer is all that a call costs.

The same gRPC for Python on uvloop, the same generated stubs and number of processes on one port as the runtime, and
nothing else: no interceptor, no token, no request id, no model. `python -m benchmarks.echo PORT FILE` is one process
of it. With the file of a public key behind them it is one of this project's servers (`common.rpc`), which checks
tokens, gives requests ids, limits calls and logs them, and answers the same.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio
import uvloop

from benchmarks.processes import running_process
from common.auth import TokenVerifier
from common.process.lifecycle import wait_for_signal
from common.rpc import AioRpcServer, Service
from common.rpc.call_policy import CallPolicy
from protos.tailorbird.events.v1 import events_service_pb2 as events
from protos.tailorbird.events.v1.events_service_pb2_grpc import (
    EventsServiceServicer,
    add_EventsServiceServicer_to_server,
)
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as runtime
from protos.tailorbird.runtime.v1.runtime_service_pb2_grpc import (
    RuntimeServiceServicer,
    add_RuntimeServiceServicer_to_server,
)

__all__ = ["echo_server", "list_of_items"]

_READY = "ready"


class _Echo(RuntimeServiceServicer):
    """Answers everything with one list.

    Args:
        answer: The message for recommendations; rankings get the same items.
    """

    def __init__(self, answer: runtime.GetRecommendationsResponse) -> None:
        self._answer = answer
        self._ranking = runtime.GetPersonalizedRankingResponse(
            personalized_ranking=answer.item_list, recommendation_id=answer.recommendation_id
        )

    async def GetRecommendations(
        self,
        request: runtime.GetRecommendationsRequest,  # noqa: ARG002 - the signature of every method
        context: Any,  # noqa: ARG002 - gRPC's signature
    ) -> runtime.GetRecommendationsResponse:
        """Return the message."""
        return self._answer

    async def GetPersonalizedRanking(
        self,
        request: runtime.GetPersonalizedRankingRequest,  # noqa: ARG002 - the signature of every method
        context: Any,  # noqa: ARG002 - gRPC's signature
    ) -> runtime.GetPersonalizedRankingResponse:
        """Return its items as a ranking."""
        return self._ranking


class _Sink(EventsServiceServicer):
    """Takes events, items and users, and forgets them."""

    async def PutEvents(
        self,
        request: events.PutEventsRequest,  # noqa: ARG002 - gRPC's signature
        context: Any,  # noqa: ARG002 - gRPC's signature
    ) -> events.PutEventsResponse:
        """Answer that they were taken."""
        return events.PutEventsResponse()

    async def PutItems(
        self,
        request: events.PutItemsRequest,  # noqa: ARG002 - gRPC's signature
        context: Any,  # noqa: ARG002 - gRPC's signature
    ) -> events.PutItemsResponse:
        """Answer that they were taken."""
        return events.PutItemsResponse()

    async def PutUsers(
        self,
        request: events.PutUsersRequest,  # noqa: ARG002 - gRPC's signature
        context: Any,  # noqa: ARG002 - gRPC's signature
    ) -> events.PutUsersResponse:
        """Answer that they were taken."""
        return events.PutUsersResponse()


def list_of_items(count: int) -> runtime.GetRecommendationsResponse:
    """Return an answer with so many scored items."""
    items = [runtime.PredictedItem(item_id=str(1000 + place), score=0.04 - place / 1000) for place in range(count)]
    return runtime.GetRecommendationsResponse(item_list=items, recommendation_id="RID-" + "0" * 36)


@contextlib.contextmanager
def echo_server(
    answer: runtime.GetRecommendationsResponse, *, processes: int, folder: Path, public_key: Path | None = None
) -> Iterator[str]:
    """Run the echo server and yield its `host:port`.

    Args:
        answer: To everything.
        processes: On the port.
        folder: For its files.
        public_key: Of the tokens that callers need; None serves everybody by gRPC alone.

    Raises:
        Unavailable: A process did not start.
    """
    name = "echo" if public_key is None else "guarded-echo"
    prepared = folder / f"{name}.answer"
    prepared.write_bytes(answer.SerializeToString())
    with socket.socket() as held, contextlib.ExitStack() as running:
        # Bound and not listening: keeps the port for the processes, and gets no connection.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        keys = [] if public_key is None else [str(public_key)]
        for number in range(processes):
            log = folder / f"{name}-{number}.log"
            process = running_process(
                [sys.executable, "-m", "benchmarks.echo", str(port), str(prepared), *keys],
                log=log,
                is_ready=partial(_is_ready, log),
                stop_signal=signal.SIGTERM,
            )
            running.enter_context(process)
        yield f"127.0.0.1:{port}"


def _is_ready(log: Path) -> bool:
    return f"{_READY}\n" in log.read_text()


def _say_ready() -> None:
    sys.stdout.write(f"{_READY}\n")
    sys.stdout.flush()


async def _serve_guarded(port: int, prepared: Path, public_key: Path) -> None:
    answer = runtime.GetRecommendationsResponse.FromString(prepared.read_bytes())
    service = Service(
        runtime.DESCRIPTOR.services_by_name["RuntimeService"],
        add_RuntimeServiceServicer_to_server,
        _Echo(answer),  # type: ignore[abstract]  # in the stubs only
    )
    policy = CallPolicy(TokenVerifier.of_file(public_key))
    server = AioRpcServer([service], policy=policy, address=f"127.0.0.1:{port}", reuse_port=True)
    await server.start()
    server.ready()
    _say_ready()
    await wait_for_signal()
    await server.stop(grace=0.0)


async def _serve(port: int, prepared: Path) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
    answer = runtime.GetRecommendationsResponse.FromString(prepared.read_bytes())
    add_RuntimeServiceServicer_to_server(_Echo(answer), server)  # type: ignore[abstract]  # in the stubs only
    add_EventsServiceServicer_to_server(_Sink(), server)  # type: ignore[abstract]  # in the stubs only
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    _say_ready()
    await wait_for_signal()
    await server.stop(None)


if __name__ == "__main__":
    served = int(sys.argv[1]), Path(sys.argv[2])
    uvloop.run(_serve_guarded(*served, Path(sys.argv[3])) if len(sys.argv) > 3 else _serve(*served))
