"""Fixtures of the events service's tests."""

from __future__ import annotations

import pytest

from common.clock import ManualClock
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.testing import serving
from events_service.log.sqlite import SqliteEventLog
from tests.control_plane.wire import KEYS
from tests.control_plane.world import ACCOUNT


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
def grpc_server(grpc_servicer):
    """Run an asynchronous server in place of pytest-grpc's own, which is not."""
    with serving(grpc_servicer.services, keys=KEYS, threads=4, account=ACCOUNT) as running:
        yield running


@pytest.fixture(scope="module")
def grpc_addr(grpc_server):
    return grpc_server.target
