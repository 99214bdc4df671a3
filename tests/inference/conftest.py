"""Artifacts that tests of pipelines read; models are fitted once."""

from __future__ import annotations

import pytest

from tests.inference.vectors import build_indexes
from tests.runtime_service.world import PERSONAL, POPULAR, RELATED, fit, fit_actions, local_store, publish


@pytest.fixture(scope="session")
def personal():
    return fit(PERSONAL)


@pytest.fixture(scope="session")
def popular():
    return fit(POPULAR)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory, personal, popular):
    """A store with good artifacts that no test changes."""
    store = local_store(tmp_path_factory.mktemp("shelf"))
    publish(store, "artifacts/personal", personal)
    publish(store, "artifacts/popular", popular)
    publish(store, "artifacts/related", fit(RELATED))
    publish(store, "artifacts/actions", fit_actions())
    return store


@pytest.fixture
def store(tmp_path):
    return local_store(tmp_path / "store")


@pytest.fixture(scope="session")
def index_folder(tmp_path_factory):
    """Where the indexes of the random vectors are."""
    folder = tmp_path_factory.mktemp("index")
    build_indexes(folder)
    return folder
