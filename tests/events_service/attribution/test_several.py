"""Metric attribution by several events services: each event is in the sums of one, and reports take no other's name."""

from __future__ import annotations

import pytest

from common.attribution import UNDEFINED_SOURCE
from common.testing import wait_until
from events_service.attribution.reports import AttributionReports
from events_service.log.jetstream import JetStreamEventLog
from events_service.log.stream_target import StreamTarget
from tests.events_service.attribution.conftest import Counting
from tests.events_service.nats import running_nats
from tests.events_service.samples import entries

WAIT = 20.0
VIEWS = ("views", UNDEFINED_SOURCE)


@pytest.fixture
def target():
    with running_nats() as server:
        yield StreamTarget(server.url)


@pytest.fixture
def start(target, store, clock, tmp_path):
    """Start a service with a folder of its own; its reports are named by its state."""
    (tmp_path / "bucket").mkdir()
    running = {}

    def started(name):
        log = JetStreamEventLog(target, tmp_path / name, clock=clock, lease_seconds=1)
        made = Counting(log, store, clock, tmp_path / name)
        made.start()
        outputs = made.reports._outputs
        made.reports = AttributionReports(
            log, made.state, attributions=lambda: made.attributions, outputs=outputs, clock=clock,
            period_seconds=900, monotonic=made.seconds, writer=made.state.name,
        )  # fmt: skip
        running[name] = made
        return made

    def stopped(name):
        made = running.pop(name)
        made.state.close()
        made.log.close()

    yield started, stopped
    for name in list(running):
        stopped(name)


def test_sums_of_those_that_count_one_after_the_other_add_up_to_each_event_once(start, tmp_path):
    started, stopped = start
    (tmp_path / "a" / "bucket").mkdir(parents=True)
    (tmp_path / "b" / "bucket").mkdir(parents=True)
    first = started("a")
    wait_until(first.log.consumes)
    second = started("b")
    second.log.append(entries(1, 2, 3), seconds=WAIT)
    assert second.count() == 0
    wait_until(lambda: first.log.bounds().end == 4)
    assert first.count() == 3
    names = {first.state.name, second.state.name}
    assert len(names) == 2

    stopped("a")
    second.log.append(entries(4, 5), seconds=WAIT)
    wait_until(second.log.consumes)
    assert second.count() == 2

    # The first one is back, with sums and a place of its own from before.
    first = started("a")
    stopped_state = second.totals()
    second.clock.advance(seconds=900)
    assert second.reports.run() == first.reports.run() == 1
    stopped("b")
    wait_until(first.log.consumes)
    first.log.append(entries(6), seconds=WAIT)
    assert first.count() == 1

    assert stopped_state == {VIEWS: 2.0}
    assert first.totals() == {VIEWS: 4.0}
    assert {first.state.name} < names
    reports = [path.name for name in "ab" for path in (tmp_path / name / "bucket" / "reports").glob("*")]
    assert len(reports) == len(set(reports)) == 2
    assert all(any(name.endswith(f" - {state_name}.csv") for state_name in names) for name in reports)
