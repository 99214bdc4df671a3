"""What connections that cost nothing do to honest clients of the gateway: `python -m benchmarks.faults.connections`.

A gateway runs as a process of its own, with the usual soft limit of 1,024 open files, before an echo server. While
somebody holds idle connections, sends headers drop by drop or without end, leaves bodies unfinished, or sends ahead and
never reads, an honest client asks for recommendations, each time over a new connection. Then clients that keep their
connections ask as fast as they can, more and more of them: what is answered, what is refused, how long it takes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import uvloop
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from benchmarks.echo import echo_server
from benchmarks.processes import running_process
from benchmarks.report import markdown_table, percentile, publish
from common.access_keys import AccessKey, AccessKeys
from common.process.lifecycle import raise_open_files
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as runtime

_CALL_SECONDS = 2.0
_SOFT_FILES = 1024
#: As many as the clients may have open, as far as the system lets them.
_CLIENT_FILES = 1_000_000
_BODY_BYTES = 4 * 1024 * 1024
_COLUMNS = (
    *("answered_percent", "answered_per_second", "p50_ms", "p99_ms", "refused_percent", "refused_p99_ms"),
    *("failed", "memory_mb", "recovered_ms"),
)
_PATH = "/recommendations"
_BODY = b'{"campaignArn":"arn:aws:personalize:us-east-1:000000000000:campaign/films","userId":"1"}'


@dataclass(slots=True)
class CallStats:
    """How calls ended.

    Attributes:
        answered: Milliseconds of each call that got what it asked for.
        refused: Milliseconds of each call that was told to come again: 429 or 503.
        failed: Calls without an answer in two seconds, or with any other.
    """

    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    failed: int = 0

    def add(self, status: int, began: float) -> None:
        """Add a call that has just ended.

        Args:
            status: HTTP's; 0 for none.
            began: Time of `time.perf_counter`, in seconds.
        """
        millis = 1000 * (time.perf_counter() - began)
        if status == 200:
            self.answered.append(millis)
        elif status in (429, 503):
            self.refused.append(millis)
        else:
            self.failed += 1

    def figures(self, seconds: float) -> dict[str, float | None]:
        """Return what is published of calls that were made in so many seconds."""
        calls = len(self.answered) + len(self.refused) + self.failed
        return {
            "calls": calls,
            "answered_percent": round(100 * len(self.answered) / max(1, calls), 1),
            "answered_per_second": round(len(self.answered) / seconds, 1),
            "p50_ms": _millis(self.answered, 0.5),
            "p99_ms": _millis(self.answered, 0.99),
            "refused_percent": round(100 * len(self.refused) / max(1, calls), 1),
            "refused_p99_ms": _millis(self.refused, 0.99),
            "failed": self.failed,
        }


def _millis(values: Sequence[float], share: float) -> float | None:
    return round(percentile(sorted(values), share), 1) if values else None


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway under test."""

    port: int
    process: psutil.Process
    request: bytes

    def head(self, length: int) -> bytes:
        """Return an unsigned request's head, whose body is to have this length."""
        return (f"POST {_PATH} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Length: {length}\r\n\r\n").encode()


@contextmanager
def running_gateway(folder: Path) -> Iterator[Gateway]:
    """Run a gateway before an echo server."""
    keys = AccessKeys(folder / "access_keys.json")
    key = keys.create("benchmark")
    (folder / "token").write_text("none")
    (folder / "token").chmod(0o600)
    answer = runtime.GetRecommendationsResponse()
    for number in range(25):
        answer.item_list.add(item_id=f"item-{number}")
    log = folder / "gateway.log"
    with echo_server(answer, processes=1, folder=folder) as target:
        environ = {
            **os.environ,
            "TAILORBIRD_LISTEN": "127.0.0.1:0",
            "TAILORBIRD_ACCESS_KEYS_FILE": str(keys.path),
            "TAILORBIRD_TOKEN_FILE": str(folder / "token"),
            "TAILORBIRD_CONTROL_PLANE": target,
            "TAILORBIRD_EVENTS_SERVICE": target,
            "TAILORBIRD_RUNTIME_SERVICE": target,
        }
        limited = ["/bin/sh", "-c", f'ulimit -Sn {_SOFT_FILES}; exec "$@"', "sh", sys.executable, "-m", "gateway"]
        with running_process(limited, log=log, is_ready=lambda: _port(log) > 0, environ=environ) as process:
            port = _port(log)
            yield Gateway(port, psutil.Process(process.pid), _signed(key, port))


def _port(log: Path) -> int:
    """Return where it listens, 0 while it does not."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if '"serving"' in line]
    return int(lines[0]["port"]) if lines else 0


def _signed(key: AccessKey, port: int) -> bytes:
    host = f"127.0.0.1:{port}"
    headers = {"Host": host, "Content-Type": "application/json"}
    request = AWSRequest("POST", f"http://{host}{_PATH}", headers=headers, data=_BODY)
    SigV4Auth(Credentials(key.access_key_id, key.secret_access_key), "personalize", "us-east-1").add_auth(request)
    sent = {**dict(request.headers.items()), "Content-Length": str(len(_BODY))}
    lines = [f"POST {_PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
    return "\r\n".join(lines).encode() + _BODY


class Client:
    """A client that sends one prepared request again and again.

    Args:
        gateway: The server.
        keep: Whether it keeps its connection.
    """

    def __init__(self, gateway: Gateway, *, keep: bool) -> None:
        self._gateway = gateway
        self._keep = keep
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self) -> int:
        """Return the status of one call, 0 when there was none in time."""
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                status = await self._exchange()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            status = 0
        if not status or not self._keep:
            self.close()
        return status

    async def _exchange(self) -> int:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._gateway.port)
        reader, writer = self._streams
        writer.write(self._gateway.request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n", 1)[0]))
        if b"connection: close" in head:
            self.close()
        return int(head.split()[1])

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def measure_honest_client(gateway: Gateway, seconds: float) -> tuple[CallStats, float]:
    """Ask for some seconds, over a new connection each time; also return the gateway's largest memory, in MB."""
    stats, client = CallStats(), Client(gateway, keep=False)
    ends = time.perf_counter() + seconds
    memory = 0.0
    while (began := time.perf_counter()) < ends:
        stats.add(await client.call(), began)
        memory = max(memory, gateway.process.memory_info().rss / 1e6)
        await asyncio.sleep(0.01)
    return stats, memory


async def measure_clients(gateway: Gateway, clients: int, seconds: float) -> tuple[CallStats, float]:
    """Let so many clients ask as fast as they can; one that is refused comes again after a moment, as SDKs do."""
    stats = CallStats()
    ends = time.perf_counter() + seconds

    async def one() -> None:
        client = Client(gateway, keep=True)
        while (began := time.perf_counter()) < ends:
            status = await client.call()
            stats.add(status, began)
            if status != 200:
                await asyncio.sleep(0.5)
        client.close()

    await asyncio.gather(*(one() for _ in range(clients)))
    return stats, gateway.process.memory_info().rss / 1e6


class Attack:
    """Connections that somebody else holds, and what is sent over them.

    Args:
        gateway: The victim.
        count: How many connections.
        first_bytes: Sent over each at once.
        repeated_bytes: Sent over each again and again.
        pause_seconds: Between two times; 0 sends as fast as it goes.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        count: int,
        first_bytes: bytes = b"",
        repeated_bytes: bytes = b"",
        pause_seconds: float = 1.0,
    ) -> None:
        self._address = ("127.0.0.1", gateway.port)
        self._count = count
        self._first_bytes = first_bytes
        self._repeated_bytes = repeated_bytes
        self._pause_seconds = pause_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Attack until the block ends."""
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()

    def _run(self) -> None:
        with ExitStack() as stack:
            held = [opened for _ in range(self._count) if (opened := self._open(stack)) is not None]
            while not self._over.wait(self._pause_seconds):
                for connection in held if self._repeated_bytes else ():
                    with suppress(OSError):
                        connection.sendall(self._repeated_bytes)

    def _open(self, stack: ExitStack) -> socket.socket | None:
        if self._over.is_set():
            return None
        try:
            opened = stack.enter_context(socket.create_connection(self._address, timeout=0.5))
            opened.sendall(self._first_bytes)
        except OSError:
            return None  # refused, as it should be
        return opened


def attacks(gateway: Gateway, *, connections: int, bodies: int) -> dict[str, Attack]:
    """Return the attacks by their names.

    Args:
        gateway: The victim.
        connections: Idle and slow ones.
        bodies: Unfinished ones.
    """
    slow = f"POST {_PATH} HTTP/1.1\r\nX-Slow: ".encode()
    unfinished = gateway.head(_BODY_BYTES) + b" " * (_BODY_BYTES - 1)
    return {
        f"{connections} idle connections": Attack(gateway, count=connections),
        f"{connections} slow headers": Attack(gateway, count=connections, first_bytes=slow, repeated_bytes=b"x"),
        "one header without end": Attack(
            gateway, count=1, first_bytes=slow, repeated_bytes=b"x" * 65536, pause_seconds=0.0
        ),
        f"{bodies} unfinished bodies": Attack(gateway, count=bodies, first_bytes=unfinished),
        "20 that send ahead, never read": Attack(gateway, count=20, first_bytes=gateway.request * 2000),
    }


async def measure_recovery(gateway: Gateway) -> float:
    """Return the milliseconds until a call is answered again."""
    began, client = time.perf_counter(), Client(gateway, keep=False)
    while await client.call() != 200:
        await asyncio.sleep(0.01)
    return round(1000 * (time.perf_counter() - began), 1)


async def measure(
    gateway: Gateway, *, connections: int, bodies: int, clients: Sequence[int], seconds: float
) -> dict[str, dict[str, float | None]]:
    """Return the figures of every part.

    Args:
        gateway: The one under test.
        connections: Idle and slow ones.
        bodies: Unfinished ones.
        clients: Numbers of honest clients that come at a time.
        seconds: Length of each part.
    """
    figures: dict[str, dict[str, float | None]] = {}

    def note(name: str, stats: CallStats, memory: float) -> None:
        figures[name] = {**stats.figures(seconds), "memory_mb": round(memory)}

    await measure_recovery(gateway)
    note("nobody else", *await measure_honest_client(gateway, seconds))
    for name, attack in attacks(gateway, connections=connections, bodies=bodies).items():
        with attack.running():
            await asyncio.sleep(0.2)
            note(name, *await measure_honest_client(gateway, seconds))
        figures[name]["recovered_ms"] = await measure_recovery(gateway)
    for count in clients:
        note(f"{count} clients at a time", *await measure_clients(gateway, count, seconds))
    return figures


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1500, help="idle and slow ones")
    parser.add_argument("--bodies", type=int, default=150, help="unfinished ones, 4 MB each")
    parser.add_argument("--clients", type=int, nargs="+", default=[20, 100, 300, 1000], help="at a time")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each part")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    raise_open_files(_CLIENT_FILES)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        figures = uvloop.run(
            measure(
                stack.enter_context(running_gateway(folder)),
                connections=arguments.connections,
                bodies=arguments.bodies,
                clients=arguments.clients,
                seconds=arguments.seconds,
            )
        )
    rows = [[name, *(_shown(row.get(key)) for key in _COLUMNS)] for name, row in figures.items()]
    publish({"parts": figures}, table=markdown_table(["meanwhile", *_COLUMNS], rows), output=arguments.output)


def _shown(figure: float | None) -> str:
    return "" if figure is None else f"{figure:g}"


if __name__ == "__main__":
    main()
