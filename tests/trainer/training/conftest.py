"""Fixtures of the tests of trainings."""

from __future__ import annotations

import pytest

from tests.trainer.place import walks


@pytest.fixture
def filled(place):
    place.write("a.csv", *walks())
    place.bring("s3://films/a.csv")
    return place
