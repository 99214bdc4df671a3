"""Fixtures of the control plane's tests."""

from __future__ import annotations

import socket

import pytest

from tests.control_plane.world import make_world


@pytest.fixture
def world(tmp_path):
    made = make_world(tmp_path)
    yield made
    made.catalogue.close()


@pytest.fixture(scope="module")
def grpc_addr():
    # pytest-grpc's own fixture leaves its socket open.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
