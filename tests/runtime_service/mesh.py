"""Three runtimes as a headless name has them: one port on several addresses, and the name server that knows them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import psutil
import pytest

from common.rpc.probe import is_serving
from common.testing import wait_until
from protos.tailorbird.runtime.v1.runtime_service_pb2 import GetRecommendationsRequest
from tests.runtime_service.backends import running_backends
from tests.runtime_service.running import environment
from tests.runtime_service.world import POPULAR, assignment, campaign, fit, local_store, publish, user

#: All of 127.0.0.0/8 is this machine, on Linux.
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


class Instance:
    """One runtime, a process that can be stopped and started again on its address."""

    def __init__(self, host: str, port: int, variables: dict[str, str], log_file: Path) -> None:
        self.address = f"{host}:{port}"
        self._variables = {**variables, "TAILORBIRD_LISTEN": self.address}
        self._log_file = log_file
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        with self._log_file.open("ab") as log:
            command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "runtime_service"]
            self._process = subprocess.Popen(command, env=self._variables, stderr=log)

    def answered(self) -> int:
        """Return how many calls it has answered so far, as its log says at DEBUG."""
        return self._log_file.read_text().count("RuntimeService/GetRecommendations")

    def wait_until_ready(self) -> None:
        wait_until(lambda: self._process.poll() is not None or is_serving(self.address, seconds=1), seconds=60)
        assert self._process.poll() is None, self._log_file.read_text()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(timeout=30)

    def stop(self) -> None:
        """Ask it to stop, as an orchestrator does, and return when it has ended."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(timeout=30) == 0


class Mesh:
    """The runtimes, their port, a token of a client's, and a request that all of them answer."""

    def __init__(self, instances: Sequence[Instance], *, port: int, token: str) -> None:
        self.instances = instances
        self.port = port
        self.token = token
        self.request = GetRecommendationsRequest(campaign_arn=campaign(), user_id=user(1), num_results=3)

    def connections(self) -> set[int]:
        """Return the local ports of this process's connections to them."""
        opened = psutil.Process().net_connections("tcp")
        return {entry.laddr.port for entry in opened if entry.raddr and entry.raddr.port == self.port}


@contextmanager
def running_mesh(folder: Path, **settings: str) -> Iterator[Mesh]:
    """Run them with one worker each, and yield when all serve the campaign `films`."""
    if sys.platform != "linux":
        pytest.skip("only Linux answers on all loopback addresses without being told")
    store = local_store(folder / "store")
    publish(store, "artifacts/popular", fit(POPULAR))
    port = free_port()
    with running_backends() as backends, ExitStack() as stack:
        backends.board.assign(assignment(location="artifacts/popular"))
        instances = []
        for host in HOSTS:
            files = folder / host
            files.mkdir()
            variables = environment(
                files, backends, store, TAILORBIRD_WORKERS="1", TAILORBIRD_LOG_LEVEL="DEBUG", **settings
            )
            instances.append(Instance(host, port, variables, files / "log"))
        for instance in instances:
            instance.start()
            stack.callback(instance.kill)
        for instance in instances:
            instance.wait_until_ready()
        yield Mesh(instances, port=port, token=backends.keys.token("client"))


class NameServer:
    """Answers every question for an address with all of a list, over UDP."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self.hosts = list(hosts)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._socket.getsockname())
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, peer = self._socket.recvfrom(512)
            if not query:
                return
            self._socket.sendto(self._answer(query), peer)

    def _answer(self, query: bytes) -> bytes:
        # The question: labels up to an empty one, two bytes for the type (1: an IPv4 address), two for the class.
        end = query.index(b"\0", 12) + 5
        hosts = self.hosts if query[end - 4 : end - 2] == b"\0\1" else []
        header = query[:2] + b"\x81\x80" + b"\0\1" + len(hosts).to_bytes(2, "big") + b"\0\0\0\0"
        # Name: that of the question, at byte 12; type, class; good for no time; four bytes of address.
        records = [b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(host) for host in hosts]
        return header + query[12:end] + b"".join(records)


def free_port() -> int:
    """Return a port that is free on all of the addresses."""
    with ExitStack() as stack:
        first = stack.enter_context(socket.socket())
        first.bind((HOSTS[0], 0))
        port = first.getsockname()[1]
        for host in HOSTS[1:]:
            stack.enter_context(socket.socket()).bind((host, port))
        return port
