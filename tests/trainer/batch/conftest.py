"""Fixtures of the tests of batch jobs: a place with a bucket, and artifacts that are fitted in a moment."""

from __future__ import annotations

import pytest

from tests.runtime_service.world import POPULAR, RELATED, fit, publish
from tests.trainer.batch.running import BatchPlace

ARTIFACTS = {POPULAR: "artifacts/popular", RELATED: "artifacts/related"}


@pytest.fixture(scope="session")
def fitted():
    return {name: fit(name) for name in ARTIFACTS}


@pytest.fixture
def place(tmp_path, fitted):
    """Give a place whose store has both artifacts."""
    made = BatchPlace(tmp_path)
    for name, location in ARTIFACTS.items():
        publish(made.store, location, fitted[name])
    return made
