"""A control plane with a group and its tracker, for tests of what events services know of it."""

from __future__ import annotations

import pytest

from common.testing import serving
from tests.control_plane.world import make_world


@pytest.fixture
def world(tmp_path):
    made = make_world(tmp_path)
    yield made
    made.metadata_store.close()


@pytest.fixture
def plane(world):
    with serving(world.plane.services) as server:
        yield server


@pytest.fixture
def group(world):
    return world.group()


@pytest.fixture
def tracking_id(world, group):
    return world.resources.trackers.create("clicks", dataset_group_arn=group).tracking_id
