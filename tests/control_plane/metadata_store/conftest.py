"""Databases of the metadata store's tests: those that hold for both are run on both."""

from __future__ import annotations

import pytest

from control_plane.metadata_store.sql import open_metadata_store


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """Return the URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'data' / 'metadata_store.db'}"
    return request.getfixturevalue("postgres").empty_database()


@pytest.fixture
def metadata_store(url):
    opened = open_metadata_store(url)
    yield opened
    opened.close()
