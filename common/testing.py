"""Helpers for tests that start real servers: no fakes.

Part of the product, so that teams who build on the contracts can test against real services as we do.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

import grpc
import uvloop

from common.arn import DEFAULT_ACCOUNT
from common.auth import TokenIssuer, TokenVerifier, generate_key_pair
from common.rpc import AioRpcServer, CallPolicy, Service, channel
from common.settings import CallLimits, TlsFiles
from common.telemetry import NO_CALLS, CallObserver

__all__ = ["Keys", "Loop", "Serving", "loop_in_thread", "make_keys", "serving", "wait_until"]

T = TypeVar("T")
_PATIENCE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Keys:
    """A new key pair with its issuer and verifier."""

    issuer: TokenIssuer
    verifier: TokenVerifier
    private_pem: bytes
    public_pem: bytes

    def token(self, role: str, *, account: str | None = None) -> str:
        """Return a token of one hour for a role, in an account or in the installation's own."""
        return self.issuer.issue(role, subject=f"test-{role}", lifetime=timedelta(hours=1), account=account)


def make_keys() -> Keys:
    """Create a key pair for one test."""
    with TemporaryDirectory() as folder:
        private, public = Path(folder, "private.pem"), Path(folder, "public.pem")
        generate_key_pair(private, public)
        private_pem, public_pem = private.read_bytes(), public.read_bytes()
    return Keys(TokenIssuer(private_pem), TokenVerifier(public_pem), private_pem, public_pem)


class Loop:
    """An event loop in a thread, for tests that are not coroutines."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop")
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop to its end, and return its result."""
        return self.start(work).result(_PATIENCE_SECONDS)

    @contextmanager
    def running(self, work: Coroutine[Any, Any, None]) -> Iterator[None]:
        """Run a coroutine that does not end by itself until the block ends; what it raises is raised here."""
        future = self.start(work)
        try:
            yield
        finally:
            self.run(_cancel_others())
            if not future.cancelled() and (error := future.exception(_PATIENCE_SECONDS)) is not None:
                raise error

    def close(self) -> None:
        """Stop the loop and its threads."""
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_SECONDS)
        self._loop.close()


@contextmanager
def loop_in_thread() -> Iterator[Loop]:
    """Run an event loop in a thread."""
    loop = Loop()
    try:
        yield loop
    finally:
        loop.close()


async def _cancel_others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server on loopback, on an event loop in a thread of its own."""

    server: AioRpcServer
    keys: Keys
    loop: Loop

    @property
    def target(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.server.port}"

    def stop(self, *, grace: float = 0.0) -> None:
        """Stop the server before the block of `serving` ends."""
        self.loop.run(self.server.stop(grace=grace))

    @contextmanager
    def channel(self, role: str, *, account: str | None = None) -> Iterator[grpc.Channel]:
        """Open a channel whose calls carry a token of this role, in an account or in the installation's own."""
        opened = channel(self.target, token=self.keys.token(role, account=account))
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def serving(
    services: Sequence[Service],
    *,
    keys: Keys | None = None,
    threads: int = 16,
    limits: CallLimits | None = None,
    tls: TlsFiles | None = None,
    account: str = DEFAULT_ACCOUNT,
    observer: CallObserver = NO_CALLS,
) -> Iterator[Serving]:
    """Run a real server with these services on a free loopback port, ready, and stop it afterwards.

    Callers whose tokens name no account belong to `account`.
    """
    made = keys or make_keys()

    async def start() -> AioRpcServer:
        policy = CallPolicy(made.verifier, account=account)
        server = AioRpcServer(
            services,
            policy=policy,
            address="127.0.0.1:0",
            threads=threads,
            limits=limits,
            tls=tls,
            observer=observer,
        )
        await server.start()
        server.ready()
        return server

    with loop_in_thread() as loop:
        server = loop.run(start())
        try:
            yield Serving(server, made, loop)
        finally:
            loop.run(server.stop(grace=0.5))


def wait_until(condition: Callable[[], T], *, seconds: float = 60.0, every: float = 0.02) -> T:
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
