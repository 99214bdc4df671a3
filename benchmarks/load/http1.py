"""Load on an HTTP server from h2load over HTTP/1.1: one signed request, repeated on connections that stay open.

The request is signed once, before the load: a signature is good for five minutes, and h2load, written in C, takes a
small part of the processor time that a signing client would.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from benchmarks.load.h2load import Load, LoadResult, cpu_seconds, h2load_path
from common.access_keys import AccessKey
from common.errors import Unavailable

__all__ = ["HttpCall", "run_http_load", "run_url_load", "sign"]

_STATUSES = re.compile(r"^status codes: (\d+) 2xx", re.MULTILINE)
_RUN_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One request to repeat.

    Attributes:
        url: Where to.
        headers: Beside those that h2load writes: host, user-agent, content-length.
        body: The bytes.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes


def sign(url: str, body: bytes, *, key: AccessKey) -> HttpCall:
    """Return a signed POST request of JSON."""
    host = url.split("/")[2]
    request = AWSRequest("POST", url, headers={"Host": host, "Content-Type": "application/json"}, data=body)
    SigV4Auth(Credentials(key.access_key_id, key.secret_access_key), "personalize", "us-east-1").add_auth(request)
    headers = {name.lower(): value for name, value in request.headers.items() if name.lower() != "host"}
    return HttpCall(url, headers, body)


def run_http_load(call: HttpCall, *, connections: int, requests: int) -> LoadResult:
    """Make a call again and again, one at a time on each connection.

    Args:
        call: What to send.
        connections: Open at a time.
        requests: Calls on all connections together.

    Raises:
        InvalidInput: h2load is not installed.
        Unavailable: Nobody answers, or h2load says what is not understood.
    """
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder, "body")
        body.write_bytes(call.body)
        more = [f"--data={body}", *(f"--header={name}: {value}" for name, value in call.headers.items())]
        return _pressed([call.url], more, load=Load(1, connections, requests), folder=Path(folder))


def run_url_load(urls: Sequence[str], *, load: Load) -> LoadResult:
    """Get each URL `load.repeats` times; a stream of the load is a connection here.

    Raises:
        InvalidInput: h2load is not installed.
        Unavailable: Nobody answers, or h2load says what is not understood.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _pressed(urls, [], load=load, folder=Path(folder))


def _pressed(urls: Sequence[str], more: Sequence[str], *, load: Load, folder: Path) -> LoadResult:
    """Run h2load for each URL, in lanes side by side."""
    address = urls[0].split("/")[2]
    command = [h2load_path(), "--h1", f"--requests={load.repeats}", f"--clients={load.streams}", *more]

    def lane(first: int) -> list[tuple[int, list[float]]]:
        return [
            _answered([*command, f"--log-file={folder}/{place}.log", urls[place]], folder / f"{place}.log")
            for place in range(first, len(urls), load.lanes)
        ]

    before, started = cpu_seconds(address), time.perf_counter()
    with ThreadPoolExecutor(load.lanes) as pool:
        runs = [run for done in pool.map(lane, range(min(load.lanes, len(urls)))) for run in done]
    seconds, taken = time.perf_counter() - started, cpu_seconds(address) - before
    requests = load.repeats * len(urls)
    latencies = sorted(latency for _, times in runs for latency in times)
    return LoadResult(requests, seconds, tuple(latencies), requests - sum(right for right, _ in runs), taken)


def _answered(command: Sequence[str], log: Path) -> tuple[int, list[float]]:
    """Return how many requests got a status of 2xx, and how many milliseconds each took."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_RUN_SECONDS, check=False)
    right = _STATUSES.search(done.stdout)
    if done.returncode or right is None:
        raise Unavailable(f"h2load: ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-200:]}")
    # Columns: microseconds since 1970 at the start, HTTP's status, microseconds until the end of the answer.
    return int(right[1]), [int(line.split("\t")[2]) / 1000 for line in log.read_text().splitlines()]
