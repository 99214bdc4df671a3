"""Fixtures of the events service's tests."""

from __future__ import annotations

import socket

import pytest

from common.clock import ManualClock
from common.settings import StoreSettings
from common.storage import open_store
from events_service.log.sqlite import SqliteEventLog


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def log(tmp_path, clock):
    opened = SqliteEventLog(tmp_path / "log", clock=clock, monotonic=lambda: clock.now().timestamp())
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path):
    return open_store(StoreSettings(store_url=str(tmp_path / "store")))


@pytest.fixture(scope="module")
def grpc_addr():
    # pytest-grpc's own fixture leaves its socket open.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
