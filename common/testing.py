"""Helpers for tests that start real servers: nothing here fakes anything.

Part of the product, so that teams who build on the contracts can test against real services as we do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import grpc

from common.auth import TokenIssuer, TokenVerifier, generate_key_pair
from common.rpc import CallGate, RpcServer, Service, channel

__all__ = ["Keys", "Serving", "make_keys", "serving", "wait_until"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Keys:
    """A fresh key pair with what is made from it."""

    issuer: TokenIssuer
    verifier: TokenVerifier
    private_pem: bytes
    public_pem: bytes

    def token(self, role: str) -> str:
        """Return a token of one hour for a role."""
        return self.issuer.issue(role, subject=f"test-{role}", lifetime=timedelta(hours=1))


def make_keys() -> Keys:
    """Make a key pair for one test."""
    with TemporaryDirectory() as folder:
        private, public = Path(folder, "private.pem"), Path(folder, "public.pem")
        generate_key_pair(private, public)
        private_pem, public_pem = private.read_bytes(), public.read_bytes()
    return Keys(TokenIssuer(private_pem), TokenVerifier(public_pem), private_pem, public_pem)


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server on loopback."""

    server: RpcServer
    keys: Keys

    @property
    def target(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.server.port}"

    @contextmanager
    def channel(self, role: str) -> Iterator[grpc.Channel]:
        """Open a channel whose calls carry a token of this role."""
        opened = channel(self.target, token=self.keys.token(role))
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def serving(services: Sequence[Service], *, keys: Keys | None = None, max_workers: int = 16) -> Iterator[Serving]:
    """Run a real sync server with these services on a free loopback port, ready, and stop it afterwards."""
    made = keys or make_keys()
    server = RpcServer(services, gate=CallGate(made.verifier), address="127.0.0.1:0", max_workers=max_workers)
    server.start()
    server.ready()
    try:
        yield Serving(server, made)
    finally:
        server.stop(grace=0.5)


def wait_until(condition: Callable[[], T], *, seconds: float = 20.0, every: float = 0.02) -> T:
    """Return the first true value of `condition`.

    Raises:
        TimeoutError: It stayed false for `seconds`.
    """
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"condition stayed {value!r} for {seconds} s")
        pause.wait(every)
