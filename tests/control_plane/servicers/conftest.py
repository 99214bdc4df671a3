"""A control plane on a real server, one for all tests of a module; its clock is set by hand."""

from __future__ import annotations

import pytest

from tests.control_plane import wire
from tests.control_plane.world import make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = make_world(tmp_path_factory.mktemp("wire"))
    yield made
    made.plane.long_polls.close()
    made.metadata_store.close()


@pytest.fixture(scope="module")
def grpc_servicer(world):
    return world.plane


@pytest.fixture(scope="module")
def grpc_stub_cls():
    return wire.stubs
