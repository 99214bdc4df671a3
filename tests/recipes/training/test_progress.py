"""Reports from within an epoch come at a bounded rate, and only of what is done."""

import itertools

import numpy as np
import pytest

from recipes.training.progress import EpochProgress


def test_reports_are_no_more_frequent_than_allowed():
    reports, times = [], itertools.count(step=0.25)
    progress = EpochProgress(
        lambda **report: reports.append(report), stage="epoch {epoch}", epochs=1, seconds=1.0, clock=lambda: next(times)
    )
    progress.start(1)

    for batch in range(1, 121):
        progress.report_within(batch / 120, wait=lambda: 0.5, steps=120)

    # A look at the clock for each batch, one more for each report, and another one for those that tell the speed.
    assert [report["metrics"]["step"] for report in reports[:4]] == [4, 8, 11, 14]
    assert len(reports) == 39


def test_reported_work_is_done():
    order = []
    progress = EpochProgress(lambda **report: order.append(report["metrics"]), stage="", epochs=1, seconds=0.0)
    progress.start(1)

    def wait():
        order.append("waited")
        return np.float32(2.5)

    progress.report_within(0.5, wait=wait, steps=10)
    assert order == ["waited", {"epoch": 1, "epochs": 1, "training_loss": 2.5, "step": 5, "steps": 10}]


def test_the_time_of_all_is_told_by_the_speed_since_the_first_report():
    reports, now = [], [0.0]
    progress = EpochProgress(
        lambda **report: reports.append(report["metrics"].get("seconds_in_all")),
        stage="", epochs=4, end=0.8, clock=lambda: now[0],
    )  # fmt: skip
    progress.start(2)  # the first one was done by an attempt before
    for at, share in ((30.0, 0.1), (40.0, 0.6), (48.0, 1.0)):
        now[0] = at
        progress.report_within(share, wait=lambda: 1.0)

    # The first steps are compiled, which no later ones are: half an epoch takes ten seconds, so all epochs take 80,
    # and they are four fifths of the fit.
    assert reports == [None, pytest.approx(100.0), pytest.approx(100.0)]


def test_epochs_share_the_part_of_the_fit_between_begin_and_end():
    reports = []
    progress = EpochProgress(
        lambda **report: reports.append(report), stage="epoch {epoch} of 4", epochs=4, begin=0.2, end=0.6
    )
    progress.start(3)
    progress.report(0.5)
    progress.report(1.0, metrics={"training_loss": 2.0})
    assert [report["fraction"] for report in reports] == [pytest.approx(0.45), pytest.approx(0.5)]
    assert {report["stage"] for report in reports} == {"epoch 3 of 4"}
    assert [report["metrics"]["epoch"] for report in reports] == [3, 3]
    assert reports[1]["metrics"]["training_loss"] == 2.0
