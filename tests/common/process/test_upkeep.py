"""Work that is repeated on an event loop."""

from __future__ import annotations

from common.errors import Unavailable
from common.process.upkeep import keep_doing
from common.testing import loop_in_thread, wait_until


def test_rounds_that_fail_are_counted_and_told_once_and_end_nothing(log_lines):
    failures, rounds = [], []
    errors = iter([Unavailable("away"), Unavailable("away"), ValueError("a defect")])

    async def work():
        if (error := next(errors, None)) is not None:
            raise error
        rounds.append(1)

    with (
        loop_in_thread() as loop,
        loop.running(keep_doing(work, name="sweep", every_seconds=0.0, count_failure=lambda: failures.append(1))),
    ):
        wait_until(lambda: len(rounds) >= 2)

    away, defect, resumed = log_lines()
    assert (away["event"], away["reason"], away["level"]) == ("sweep_failed", "ServiceUnavailableException", "warning")
    assert (defect["event"], defect["level"]) == ("sweep_failed", "error")
    assert "ValueError: a defect" in defect["exception"]
    assert resumed["event"] == "sweep_resumed"
    assert len(failures) == 3
