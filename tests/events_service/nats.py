"""A real nats-server for tests: one for a module, a stream of its own for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from benchmarks.nats import NatsServer, nats_server, program


def require_nats() -> None:
    """Without the program the test is skipped, and in CI it fails."""
    if program() is None:
        missing = "no nats-server: apt-get install nats-server"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)


@contextmanager
def running_nats(*, options: Sequence[str] = (), scheme: str = "nats") -> Iterator[NatsServer]:
    """Run a server, as `require_nats` says."""
    require_nats()
    with nats_server(options=options, scheme=scheme) as server:
        yield server
