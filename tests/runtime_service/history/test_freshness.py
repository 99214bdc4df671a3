"""Histories are late when the log was last read to its end too long ago."""

import pytest

from runtime_service.history.freshness import Freshness

LIMIT = 20.0


@pytest.fixture
def clock():
    return [1_700_000_000.0]


@pytest.fixture
def freshness(tmp_path, clock):
    return Freshness(tmp_path / "current", limit_seconds=LIMIT, now=lambda: clock[0])


def test_histories_that_were_never_read_are_late(freshness):
    assert (freshness.age(), freshness.is_late()) == (None, True)


@pytest.mark.parametrize(("seconds", "late"), [(0.0, False), (LIMIT, False), (LIMIT + 0.1, True), (-3600.0, False)])
def test_late_is_what_was_read_too_long_ago(freshness, clock, seconds, late):
    freshness.note()
    clock[0] += seconds

    assert freshness.is_late() is late
    assert freshness.age() == pytest.approx(max(0.0, seconds), abs=1e-3)


def test_another_process_sees_what_one_has_noted(tmp_path, freshness, clock):
    clock[0] += 2 * LIMIT
    freshness.note()

    other_process = Freshness(tmp_path / "current", limit_seconds=LIMIT, now=lambda: clock[0] + 1)
    assert not other_process.is_late()
