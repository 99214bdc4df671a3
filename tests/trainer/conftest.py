"""Fixtures of the trainer's tests."""

from __future__ import annotations

import pytest

from tests.trainer.place import Place


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)
