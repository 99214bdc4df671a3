"""A real nats-server with JetStream on loopback, for measurements and for tests; or several, as a cluster."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from common.errors import InvalidInput, Unavailable
from common.testing import wait_until

__all__ = ["NatsServer", "nats_cluster", "nats_server", "program"]


class NatsServer:
    """A server whose process can be killed and started again on the same files.

    Args:
        binary: The program.
        folder: Of its files.
        options: Further ones of the command line.
        scheme: Of its URL.
    """

    def __init__(self, binary: str, folder: Path, *, options: Sequence[str] = (), scheme: str = "nats") -> None:
        self._binary = binary
        self._options = options
        self._scheme = scheme
        self.folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and return when it takes connections.

        Raises:
            Unavailable: It ended instead.
        """
        command = ["setpriv", "--pdeathsig", "KILL", self._binary, "-js", "-a", "127.0.0.1", "-p", str(self.port)]
        command += ["-sd", str(self.folder / "store"), *self._options]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(lambda: process.poll() is not None or self._is_ready(), every=0.02)
        if process.poll() is not None:
            raise Unavailable(f"nats-server: it ended: {(self.folder / 'log').read_text()}")
        self._process = process

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal and wait for that; does nothing when it has ended."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(timeout=30)

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(4) == b"INFO"
        except OSError:
            return False


def program() -> str | None:
    """Return the path of the program; None when it is not installed."""
    return shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def nats_server(*, options: Sequence[str] = (), scheme: str = "nats") -> Iterator[NatsServer]:
    """Run a server on a free loopback port; it is gone with this process, and so are its files.

    Args:
        options: As of `NatsServer`.
        scheme: As of `NatsServer`.

    Raises:
        InvalidInput: It is not installed.
        Unavailable: It did not start.
    """
    with _running([options], scheme=scheme) as (server,):
        yield server


@contextmanager
def nats_cluster(size: int) -> Iterator[list[NatsServer]]:
    """Run servers that are one cluster; errors of `nats_server`."""
    routes = [f"nats://127.0.0.1:{_free_port()}" for _ in range(size)]
    options = [
        ["-n", f"node{place}", "-cluster", route, "-cluster_name", "tailorbird", "-routes", ",".join(routes)]
        for place, route in enumerate(routes)
    ]
    with _running(options, scheme="nats") as servers:
        yield servers


@contextmanager
def _running(options: Sequence[Sequence[str]], *, scheme: str) -> Iterator[list[NatsServer]]:
    binary = program()
    if binary is None:
        raise InvalidInput("`nats-server`: got no program, want it: apt-get install nats-server")
    with ExitStack() as stack:
        servers = []
        for further in options:
            folder = tempfile.TemporaryDirectory(prefix="tailorbird-nats-", ignore_cleanup_errors=True)
            servers.append(NatsServer(binary, Path(stack.enter_context(folder)), options=further, scheme=scheme))
        for server in servers:
            server.start()
            stack.callback(server.stop)
        yield servers


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
