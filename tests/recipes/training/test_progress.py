"""Reports from within an epoch come at a bounded rate, and only of what is done."""

import itertools

import pytest

from recipes.training.progress import EpochProgress


def test_reports_are_no_more_frequent_than_allowed():
    reports, times = [], itertools.count(step=0.25)
    progress = EpochProgress(
        lambda **report: reports.append(report), stage="epoch {epoch}", epochs=1, seconds=1.0, clock=lambda: next(times)
    )
    progress.start(1)

    for batch in range(1, 101):
        progress.report_within(batch / 100, wait=lambda: None)

    # A look at the clock for each batch, and one more for each report.
    assert [report["fraction"] for report in reports[:3]] == [0.04, 0.08, 0.12]
    assert len(reports) == 25


def test_reported_work_is_done():
    order = []
    progress = EpochProgress(lambda **report: order.append("reported"), stage="", epochs=1, seconds=0.0)
    progress.report_within(1.0, wait=lambda: order.append("waited"))
    assert order == ["waited", "reported"]


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
    assert [report["metrics"] for report in reports] == [{}, {"training_loss": 2.0}]
