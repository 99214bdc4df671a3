"""Load on a gRPC server from h2load, a load generator written in C, so that the generator is not what is measured.

h2load speaks HTTP/2 and sends one request body again and again. A gRPC unary call is such a body: five bytes that
frame the serialized request. To ask for many users, many short runs of h2load follow each other in a few lanes side by
side, each run with the body of another user.

h2load sees HTTP's status, which is 200 for failed calls too, and not gRPC's in the trailers. It does count the bytes of
the bodies, and a failed call has none: with the size of a checked answer known, every answer of a run is accounted for.
Where chance makes some answers a little larger or smaller, the caller says by how much all together at most.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
from google.protobuf.message import Message

from common.errors import InvalidInput, Unavailable

__all__ = ["Call", "Load", "LoadResult", "cpu_seconds", "frame_bytes", "h2load_path", "listeners", "run_load"]

_FRAME_HEADER_BYTES = 5
_REQUESTS = re.compile(r"^requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", re.MULTILINE)
_DATA = re.compile(r"^traffic: .*\((\d+)\) data", re.MULTILINE)
_RUN_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call to repeat.

    Attributes:
        request: The message.
        answer_bytes: Size of the right answer's message, from a call that was checked.
        slack: Bytes that the right answers of one run may have less, and more, all together; less than one answer each,
            or a failed call could hide behind them.
    """

    request: Message
    answer_bytes: int
    slack: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if sum(self.slack) >= self.answer_bytes:
            raise InvalidInput(
                f"`slack`: got {self.slack} bytes, want less than an answer, {self.answer_bytes}: make fewer repeats"
            )


@dataclass(frozen=True, slots=True)
class Load:
    """How many calls are made at a time.

    Attributes:
        lanes: Runs of h2load side by side, one connection each.
        streams: Calls in flight on each connection.
        repeats: Times that each call is made, in one run.
    """

    lanes: int
    streams: int
    repeats: int


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What the calls of one load came to.

    Attributes:
        requests: Answered calls.
        seconds: From the first call to the last answer.
        latencies_ms: Of each call, ascending.
        wrong: Calls that failed, or whose answer had another size than the right one; at most an estimate when
            answers of one run are too long and too short.
        server_cpu_seconds: Processor time that the processes behind the port took meanwhile; tells what a call costs
            also where others use the machine.
    """

    requests: int
    seconds: float
    latencies_ms: tuple[float, ...]
    wrong: int
    server_cpu_seconds: float

    @property
    def per_second(self) -> float:
        """Calls answered in one second."""
        return self.requests / self.seconds

    @property
    def cpu_micros(self) -> float:
        """Microseconds of the server's processors per call."""
        return 1e6 * self.server_cpu_seconds / self.requests


def h2load_path() -> str:
    """Return where h2load is.

    Raises:
        InvalidInput: It is not installed.
    """
    path = shutil.which("h2load")
    if path is None:
        raise InvalidInput("`h2load`: got none on PATH, want it: apt-get install nghttp2-client")
    return path


def frame_bytes(message: Message) -> bytes:
    """Return a message as gRPC sends it: not compressed (0), its length in four bytes, the message."""
    body = message.SerializeToString()
    return b"\0" + len(body).to_bytes(4, "big") + body


def run_load(address: str, method: str, calls: Sequence[Call], *, load: Load, token: str) -> LoadResult:
    """Make every call `load.repeats` times.

    Args:
        address: `host:port`.
        method: Full name as on the wire: `/package.Service/Method`.
        calls: Dealt out to the lanes in turn.
        load: How many at a time.
        token: Bearer token.

    Raises:
        InvalidInput: h2load is not installed.
        Unavailable: Nobody answers, or h2load says what is not understood.
    """
    command = [h2load_path(), f"--requests={load.repeats}", "--clients=1", f"--max-concurrent-streams={load.streams}"]
    for header in ("content-type: application/grpc", "te: trailers", f"authorization: Bearer {token}"):
        command += ["--header", header]
    with tempfile.TemporaryDirectory() as folder:
        for place, call in enumerate(calls):
            (Path(folder) / f"{place}.body").write_bytes(frame_bytes(call.request))

        def lane(first: int) -> list[_Run]:
            runs = []
            for place in range(first, len(calls), load.lanes):
                files = [f"--data={folder}/{place}.body", f"--log-file={folder}/{place}.log"]
                runs.append(
                    _run([*command, *files, f"http://{address}{method}"], calls[place], Path(folder, f"{place}.log"))
                )
            return runs

        before, started = cpu_seconds(address), time.perf_counter()
        with ThreadPoolExecutor(load.lanes) as pool:
            done = [run for runs in pool.map(lane, range(load.lanes)) for run in runs]
        seconds, taken = time.perf_counter() - started, cpu_seconds(address) - before
    latencies = sorted(latency for run in done for latency in run.latencies_ms)
    return LoadResult(len(latencies), seconds, tuple(latencies), sum(run.wrong for run in done), taken)


def listeners(address: str) -> list[psutil.Process]:
    """Return this process and those that it has started, directly or not, as far as they listen on a port.

    Of several that share one socket all are found: a look at the machine's connections would tell one of them.
    """
    port = int(address.rpartition(":")[2])
    this = psutil.Process()
    return [process for process in (this, *this.children(recursive=True)) if _listens(process, port)]


def _listens(process: psutil.Process, port: int) -> bool:
    try:
        opened = process.net_connections("tcp")
    except psutil.NoSuchProcess:
        return False
    return any(entry.status == psutil.CONN_LISTEN and entry.laddr.port == port for entry in opened)


def cpu_seconds(address: str) -> float:
    """Return the processor time, in seconds, of the `listeners` of an address."""
    times = [process.cpu_times() for process in listeners(address)]
    return sum(taken.user + taken.system for taken in times)


@dataclass(frozen=True, slots=True)
class _Run:
    latencies_ms: list[float]
    wrong: int


def _run(command: Sequence[str], call: Call, log: Path) -> _Run:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_RUN_SECONDS, check=False)
    counts, data = _REQUESTS.search(done.stdout), _DATA.search(done.stdout)
    if done.returncode or counts is None or data is None:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Unavailable(f"h2load: ended with {done.returncode}: {said[-1] if said else 'no message'}")
    succeeded, *failures = (int(count) for count in counts.groups())
    if not succeeded:
        raise Unavailable(f"h2load: got no answer from {command[-1]}, want a server that listens there")
    size = call.answer_bytes + _FRAME_HEADER_BYTES
    less, more = call.slack
    surplus_bytes = int(data[1]) - succeeded * size
    unexplained_bytes = max(0, -surplus_bytes - less, surplus_bytes - more)
    # Columns: microseconds since 1970 at the start, HTTP's status, microseconds until the end of the answer.
    latencies = [int(line.split("\t")[2]) / 1000 for line in log.read_text().splitlines()]
    return _Run(latencies, sum(failures) + -(-unexplained_bytes // size))
