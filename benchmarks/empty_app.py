"""The empty application: what this HTTP stack can do at best, when a constant answer is all that a call costs.

The same uvicorn with httptools on uvloop and number of processes on one port as the gateway, Starlette with one route,
and nothing else: no signature, no validation, no service behind it, no limit on connections.
`python -m benchmarks.empty_app HOST:PORT PROCESSES` is the server.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.processes import free_base, running_process
from common.process.forked import Beat, Endless, Patience, WorkerSpec, run_workers_until_signal
from common.process.shared_port import shared_port

__all__ = ["empty_app"]

_READY = "ready\n"


@contextlib.contextmanager
def empty_app(*, processes: int, folder: Path) -> Iterator[str]:
    """Run the application and yield its `host:port`.

    Raises:
        Unavailable: It did not start.
    """
    address, log = f"127.0.0.1:{free_base(1)}", folder / f"empty-{processes}.log"
    with running_process(
        [sys.executable, "-m", "benchmarks.empty_app", address, str(processes)],
        log=log,
        is_ready=lambda: log.read_text().count(_READY) == processes,
    ):
        yield address


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(_READY)
        sys.stdout.flush()


async def _answer(_: Request) -> Response:
    return JSONResponse({})


def _serve(address: str, _: Beat) -> Endless:
    host, _colon, port = address.rpartition(":")
    listener = socket.create_server((host, int(port)), backlog=2048, reuse_port=True)
    app = Starlette(routes=[Route("/{path:path}", _answer, methods=["POST"])])
    config = uvicorn.Config(app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False)
    return _Server(config).serve(sockets=[listener])


def _main(address: str, processes: int) -> None:
    with shared_port(address) as shared:
        workers = [WorkerSpec(f"worker-{number}", partial(_serve, shared)) for number in range(processes)]
        run_workers_until_signal(workers, Patience(grace_seconds=1.0, silent_seconds=60.0))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
