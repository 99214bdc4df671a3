"""Fixtures of the control plane's tests."""

from __future__ import annotations

import pytest

from common.testing import serving
from tests.control_plane.postgresql import postgres_databases
from tests.control_plane.wire import KEYS
from tests.control_plane.world import make_world


@pytest.fixture(scope="session")
def postgres():
    with postgres_databases() as databases:
        yield databases


@pytest.fixture
def world(tmp_path):
    made = make_world(tmp_path)
    yield made
    made.metadata_store.close()


@pytest.fixture(scope="module")
def grpc_server(grpc_servicer):
    """Run an asynchronous server in place of pytest-grpc's own, which is not."""
    with serving(grpc_servicer.services, keys=KEYS, threads=4) as running:
        yield running


@pytest.fixture(scope="module")
def grpc_addr(grpc_server):
    return grpc_server.target
