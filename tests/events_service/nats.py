"""A real nats-server for tests: one for a module, a stream of its own for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.nats import NatsServer, nats_server, program


@contextmanager
def running_nats() -> Iterator[NatsServer]:
    """Run a server; without the program the test is skipped, and in CI it fails."""
    if program() is None:
        missing = "no nats-server: apt-get install nats-server"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with nats_server() as server:
        yield server
