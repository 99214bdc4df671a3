"""Sinks of a log in SQLite, by a clock that is moved by hand."""

from __future__ import annotations

import pytest

from common.tables import Table
from events_service.consumers.rounds import ConsumerRounds
from events_service.dataset_sink import DatasetSink
from events_service.domain.rate_limit import CommitRateLimit
from tests.events_service.samples import (
    known_trackers,
    table,
)

EAGER = CommitRateLimit(burst=1_000_000, steady_seconds=1, large_events=1)


class OfferedSink(DatasetSink):
    """A sink with the rounds that offer it what it lags behind with."""

    def __init__(self, log, store, trackers, **settings) -> None:
        super().__init__(log, store, trackers, **settings)
        self.rounds = ConsumerRounds(log, self, monotonic=settings["monotonic"])


class Seconds:
    """A clock for pauses, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds():
    return Seconds()


@pytest.fixture
def trackers():
    return known_trackers()


@pytest.fixture
def make_sink(log, store, trackers, seconds):
    def make(*, commit_rate=EAGER, compact_commits=1000, log=log):
        return OfferedSink(
            log, store, trackers, commit_rate=commit_rate, compact_commits=compact_commits, monotonic=seconds
        )

    return make


@pytest.fixture
def sink(make_sink):
    return make_sink()


@pytest.fixture
def films(store):
    return Table(store, table().location)
