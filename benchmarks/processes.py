"""Processes under measurement: started, waited for until they are ready, ended in every case; and clients of theirs."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from common.auth import TokenIssuer, generate_key_pair
from common.errors import Unavailable
from common.rpc.probe import is_serving
from common.testing import wait_until

__all__ = ["BothServices", "ServiceSettings", "free_base", "repeat_calls", "running_both_services", "running_process"]

_STOP_SECONDS = 60.0
#: Below the ports that Linux gives to outgoing connections.
_BASES = range(21000, 30000, 10)


@contextmanager
def running_process(
    command: Sequence[str],
    *,
    log: Path,
    is_ready: Callable[[], bool],
    start_seconds: float = 180.0,
    environ: Mapping[str, str] | None = None,
    umask: int = -1,
    stop_signal: signal.Signals = signal.SIGKILL,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process, and yield it once it is ready.

    Args:
        command: Program and arguments.
        log: File for everything that it writes.
        is_ready: Asked again and again after the start.
        start_seconds: How long it may take to become ready.
        environ: Its whole environment; None for that of this process.
        umask: Of the process; -1 for that of this one.
        stop_signal: What ends it; one that it may handle gives it a minute, and whatever is left then is killed.

    Raises:
        Unavailable: It ended, or was not ready in time.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environ, umask=umask)
    try:
        try:
            wait_until(lambda: process.poll() is not None or is_ready(), seconds=start_seconds)
        except TimeoutError as error:
            raise Unavailable(
                f"{log.stem}: got no readiness in {start_seconds:g} s, want it ready; see {log}"
            ) from error
        if process.poll() is not None:
            raise Unavailable(f"{log.stem}: got an end with status {process.returncode}, want it ready; see {log}")
        yield process
    finally:
        process.send_signal(stop_signal)
        try:
            process.wait(timeout=_STOP_SECONDS)
        finally:
            process.kill()
            process.wait()


@dataclass(frozen=True, slots=True)
class BothServices:
    """A control plane and an events service, each a process of its own, without a supervisor.

    Attributes:
        control_plane: The process.
        addresses: `host:port` of each, by the names of the packages.
        issuer: Issues tokens that both accept.
    """

    control_plane: subprocess.Popen[bytes]
    addresses: Mapping[str, str]
    issuer: TokenIssuer

    def token(self, role: str) -> str:
        """Return a bearer token of some hours for a role."""
        return _token(self.issuer, role)


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How a control plane and an events service of one installation are set up.

    Attributes:
        folder: For everything that is written.
        addresses: `host:port` of each, by the names of the packages.
        issuer: Issues tokens that both accept.
        environ: The environment of both, but for `TAILORBIRD_LISTEN`.
    """

    folder: Path
    addresses: Mapping[str, str]
    issuer: TokenIssuer
    environ: Mapping[str, str]

    @classmethod
    def prepared(cls, folder: Path) -> ServiceSettings:
        """Write keys and a token into a folder, and choose free ports."""
        private, public = folder / "private.pem", folder / "public.pem"
        generate_key_pair(private, public)
        issuer = TokenIssuer(private.read_bytes())
        (folder / "token").write_text(_token(issuer, "events"))
        base = free_base(2)
        addresses = {"control_plane": f"127.0.0.1:{base}", "events_service": f"127.0.0.1:{base + 1}"}
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TAILORBIRD_")},
            "TAILORBIRD_PUBLIC_KEY_FILE": str(public),
            "TAILORBIRD_TOKEN_FILE": str(folder / "token"),
            "TAILORBIRD_STORE_URL": str(folder / "store"),
            "TAILORBIRD_DATA_DIR": str(folder / "events"),
            "TAILORBIRD_DATABASE_URL": f"sqlite:///{folder / 'catalogue.db'}",
            "TAILORBIRD_CONTROL_PLANE": addresses["control_plane"],
        }
        return cls(folder, addresses, issuer, environ)

    def token(self, role: str) -> str:
        """Return a bearer token of some hours for a role."""
        return _token(self.issuer, role)

    def environ_of(self, module: str) -> dict[str, str]:
        """Return the whole environment of a process, by the name of its package."""
        return {**self.environ, "TAILORBIRD_LISTEN": self.addresses[module]}

    def running(self, module: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run one of both, by the name of its package; it is killed at the end."""
        return running_process(
            [sys.executable, "-m", module],
            log=self.folder / f"{module}.log",
            is_ready=lambda: is_serving(self.addresses[module]),
            environ=self.environ_of(module),
        )


@contextmanager
def running_both_services(folder: Path) -> Iterator[BothServices]:
    """Run a control plane and an events service; both are killed at the end.

    Args:
        folder: For everything that is written.
    """
    settings = ServiceSettings.prepared(folder)
    with ExitStack() as stack:
        processes = {module: stack.enter_context(settings.running(module)) for module in settings.addresses}
        yield BothServices(processes["control_plane"], settings.addresses, settings.issuer)


def _token(issuer: TokenIssuer, role: str) -> str:
    return issuer.issue(role, subject="benchmark", lifetime=timedelta(hours=12))


def repeat_calls(call: Callable[[], object], *, clients: int, seconds: float, pause_seconds: float) -> None:
    """Let clients, each a thread, make one call after the other for some seconds; calls that have begun are waited for.

    Args:
        call: Makes one call; must not raise.
        clients: How many call at a time.
        seconds: How long calls are begun.
        pause_seconds: Between two calls of a client.
    """
    over = threading.Event()

    def client() -> None:
        while not over.wait(pause_seconds):
            call()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    over.wait(seconds)
    over.set()
    for thread in threads:
        thread.join()


def free_base(count: int = 5) -> int:
    """Return the first of `count` free ports in a row, at most ten.

    They lie below those that Linux gives to outgoing connections, and are drawn, so that systems that start at the same
    time do not choose the same.

    Raises:
        Unavailable: None were found.
    """
    bases = list(_BASES)
    random.shuffle(bases)
    for base in bases:
        sockets = [socket.socket() for _ in range(count)]
        try:
            for place, probe in enumerate(sockets):
                probe.bind(("127.0.0.1", base + place))
        except OSError:
            continue
        else:
            return base
        finally:
            for probe in sockets:
                probe.close()
    raise Unavailable(f"ports: got none free, want {count} in a row between {_BASES.start} and {_BASES.stop}")
