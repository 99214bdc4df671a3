"""Fixtures of the runtime's tests; models are fitted once."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from runtime_service.history.lmdb import LmdbHistoryReader, prepare_history
from runtime_service.serving.deployments import DeploymentTable
from tests.runtime_service.features.running import idle_follower
from tests.runtime_service.world import PERSONAL, POPULAR, RANKING, RELATED, fit, fit_actions, local_store, publish


@pytest.fixture(scope="session")
def personal():
    return fit(PERSONAL)


@pytest.fixture(scope="session")
def popular():
    return fit(POPULAR)


@pytest.fixture(scope="session")
def ranking(personal):
    """Give what a training of the ranking recipe comes to: that of personal recommendations."""
    return replace(personal, name=RANKING)


@pytest.fixture(scope="session")
def related():
    return fit(RELATED)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory, personal, popular, ranking, related):
    """A store with good artifacts that no test changes."""
    store = local_store(tmp_path_factory.mktemp("shelf"))
    publish(store, "artifacts/personal", personal)
    publish(store, "artifacts/popular", popular)
    publish(store, "artifacts/ranking", ranking)
    publish(store, "artifacts/related", related)
    publish(store, "artifacts/actions", fit_actions())
    return store


@pytest.fixture
def store(tmp_path):
    return local_store(tmp_path / "store")


@pytest.fixture
def history_folder(tmp_path):
    folder = tmp_path / "history"
    prepare_history(folder, map_bytes=1 << 20)
    return folder


@pytest.fixture
def features(history_folder):
    """Give a follower of features for tests that are about none."""
    with closing(LmdbHistoryReader(history_folder)) as reader:
        yield idle_follower(reader, DeploymentTable())
