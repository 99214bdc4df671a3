"""Reports from within an epoch come at a bounded rate, and only of what is done."""

from __future__ import annotations

import itertools

from recipes.models.sasrec.config import SASRecConfig
from recipes.models.sasrec.network import SASRec
from recipes.models.sequential.fit import SequenceFitter
from recipes.training.pace import Pace
from tests.recipes.suite import ring_walks


def test_reports_are_no_more_frequent_than_wanted():
    told, times = [], itertools.count(step=0.25)
    pace = Pace(told.append, seconds=1.0, clock=lambda: next(times))

    for batch in range(1, 101):
        pace.done(batch / 100, wait=lambda: None)

    # A look at the clock for each batch, and one more for each report.
    assert told[:3] == [0.04, 0.08, 0.12]
    assert len(told) == 25


def test_what_is_told_is_done():
    order = []
    pace = Pace(lambda share: order.append("told"), seconds=0.0)
    pace.done(1.0, wait=lambda: order.append("waited"))
    assert order == ["waited", "told"]


def reports(report_seconds):
    told = []
    config = SASRecConfig.from_hyperparameters(
        {"embedding_size": "8", "layers": "1", "max_length": "4", "epochs": "2", "batch_size": "16"}
    )
    made = SequenceFitter(
        config,
        network=SASRec.of(config),
        weigh_recency=False,
        seed=1,
        progress=lambda **report: told.append(report),
        report_seconds=report_seconds,
    )
    scorer = made.fit(ring_walks())
    made.extend(ring_walks())
    return told, scorer


def test_progress_moves_within_an_epoch_and_says_what_is_done():
    told, scorer = reports(0.0)
    rare, same = reports(3600.0)

    fitted = [report for report in told if not report["stage"].startswith("extension")]
    fractions = [report["fraction"] for report in fitted]
    first = [report["fraction"] for report in fitted if report["stage"] == "epoch 1 of at most 2"]
    assert fitted[0]["stage"] == "counting what follows what"
    assert fractions == sorted(fractions)
    assert len(set(first)) > 5
    # At a slower pace each epoch is told at its beginning and at its end, and the model is the same.
    assert sum(report["stage"] == "epoch 1 of at most 2" for report in rare) == 2
    assert scorer.item_vectors.tobytes() == same.item_vectors.tobytes()


def test_an_epoch_is_measured_once_however_often_it_is_told():
    told, _ = reports(0.0)
    assert sum("validation_ndcg_at_10" in report["metrics"] for report in told) == 2
