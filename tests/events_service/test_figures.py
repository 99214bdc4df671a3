"""The figures of the event log and of its consumers."""

from __future__ import annotations

from contextlib import closing

import pytest

from common.errors import Unavailable
from common.telemetry.shared import Block, SharedFigures
from events_service.consumers.rounds import ConsumerRounds
from events_service.figures import FIGURES, LogFigures
from events_service.log.sqlite import SqliteEventLog
from tests.common.telemetry.shown import shown
from tests.events_service.samples import entries, table

FILMS = table("datasets/films")


class Failing:
    """A consumer that fails until it is mended."""

    name = "sink"
    broken = True

    def __init__(self, log) -> None:
        self.log = log

    def is_due(self, lag):
        return True

    def consume(self, lag, *, stopping):
        if self.broken:
            raise Unavailable("this table is away")
        self.log.mark_consumed(self.name, lag.table.location, lag.last_offset)
        return lag.last_offset - lag.committed_offset


def test_the_log_shows_what_it_wrote_and_how_far_its_consumers_are(tmp_path, clock):
    block, seconds = Block(), [0.0]
    figures = SharedFigures(block)
    with closing(SqliteEventLog(tmp_path / "log", clock=clock, figures=figures)) as log:
        log.append(entries(1, 2, 3, to=FILMS), seconds=20)
        consumer = Failing(log)
        rounds = ConsumerRounds(log, consumer, monotonic=lambda: seconds[0], figures=figures)
        rounds.run()

        def state():
            return {(one.figure.name, *one.labels): one.value for one in LogFigures(log, ["sink"]).read()}

        assert shown([block], FIGURES)["tailorbird_consumer_failing_tables", "sink"] == 1
        lagging = state()
        assert lagging["tailorbird_log_end_offset",] == 4
        assert lagging["tailorbird_log_records",] == 3
        assert lagging["tailorbird_log_bytes",] > 0
        assert lagging["tailorbird_consumer_lagging_tables", "sink"] == 1
        assert lagging["tailorbird_consumer_lag_offsets", "sink"] == 3

        consumer.broken = False
        seconds[0] = 100.0
        rounds.run()
        assert state()["tailorbird_consumer_lag_offsets", "sink"] == 0

    samples = shown([block], FIGURES)
    assert samples["tailorbird_consumer_failing_tables", "sink"] == 0
    assert samples["tailorbird_consumer_records_total", "sink"] == 3
    assert samples["tailorbird_log_writes_total", "written"] == 2
    assert samples["tailorbird_log_commits_total",] == samples["tailorbird_log_commit_seconds_count",] >= 2
    assert samples["tailorbird_log_waiting_bytes",] == 0


def test_writes_that_fail_are_counted(tmp_path, clock):
    block = Block()
    with closing(SqliteEventLog(tmp_path / "log", clock=clock, figures=SharedFigures(block))) as log:
        failing = log._writer.submit(lambda connection: connection.execute("no SQL"))
        with pytest.raises(Unavailable):
            failing.result(20)
    assert shown([block], FIGURES)["tailorbird_log_writes_total", "failed"] == 1
