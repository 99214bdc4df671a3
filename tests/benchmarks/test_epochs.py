"""Figures of epochs are those after each epoch, or part of a long one, and not those before the first."""

from benchmarks.quality.epochs import EpochFigures


def test_what_is_measured_before_the_first_part_is_no_epoch():
    figures = EpochFigures()

    figures(fraction=0.02, stage="part of an epoch 1 of at most 2", metrics={"validation_ndcg_at_10": 0.1})
    figures(fraction=0.1, stage="part of an epoch 1 of at most 2", metrics={"step": 1.0, "training_loss": 9.0})
    learnt = {"validation_ndcg_at_10": 0.2, "training_loss": 8.0}
    figures(fraction=0.5, stage="part of an epoch 1 of at most 2", metrics=learnt)

    assert [epoch["validation_ndcg_at_10"] for epoch in figures.epochs] == [0.2]
    assert figures.epochs[0]["cpu_seconds"] >= 0.0
