"""A real Ray cluster for tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

from benchmarks.ray_cluster import RayCluster, ray_cluster


@contextmanager
def two_nodes() -> Iterator[RayCluster]:
    """Run a cluster of two nodes for as long as the block runs, or skip what wants one where there can be none."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: there is no package of it for this machine")
    if sys.platform != "linux":
        pytest.skip("several nodes on one machine need a second loopback address")
    with ray_cluster(2) as cluster:
        yield cluster
