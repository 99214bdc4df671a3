"""Artifacts that tests of pipelines read; models are fitted once."""

from __future__ import annotations

import pytest

from tests.runtime_service.world import PERSONAL, fit, local_store, publish


@pytest.fixture(scope="package")
def personal():
    return fit(PERSONAL)


@pytest.fixture(scope="package")
def shelf(tmp_path_factory, personal):
    """A store with good artifacts that no test changes."""
    store = local_store(tmp_path_factory.mktemp("shelf"))
    publish(store, "artifacts/personal", personal)
    return store
