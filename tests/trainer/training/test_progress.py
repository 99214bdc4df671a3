"""What a training says while it goes on: true activities, and shares that never fall."""

from __future__ import annotations

import pytest

from tests.trainer.place import walks
from tests.trainer.training.running import QUICK, train
from trainer.training.process import run_training
from trainer.training.progress import STAGES, StageProgress
from trainer.worker import NO_DETAILS, NullJobContext


class RecordingJobContext(NullJobContext):
    def __init__(self):
        self.reports = []
        self.details = []

    def report(self, *, fraction, activity, details=NO_DETAILS):
        self.reports.append((fraction, activity))
        self.details.append(dict(details))


@pytest.mark.parametrize(
    ("recipe", "config", "activities"),
    [
        (
            "aws-user-personalization-v2",
            QUICK,
            [
                "taking a snapshot", "loading data", "fitting", "choosing the shape of rules",
                "counting what follows what", "placing items by what they occur with", "epoch 1 of at most 2",
                "epoch 1 of at most 2: validation", "epoch 1 of at most 2", "epoch 2 of at most 2",
                "epoch 2 of at most 2: validation", "epoch 2 of at most 2", "regressing items on items",
                "weighing network and counts", "evaluating", "learning from everybody",
                "extension, epoch 1 of 3", "extension, epoch 2 of 3", "extension, epoch 3 of 3", "indexing",
                "writing the artifact", "publishing",
            ],
        ),
        (
            "aws-sims",
            "{}",
            [
                "taking a snapshot", "loading data", "fitting", "counting", "counted", "evaluating",
                "learning from everybody", "counting", "counted", "indexing", "writing the artifact", "publishing",
            ],
        ),
    ],
)  # fmt: skip
def test_a_training_says_what_it_does(place, recipe, config, activities):
    place.write("a.csv", *walks())
    place.bring("s3://films/a.csv")
    context = RecordingJobContext()

    train(place, recipe, solution_config=config, context=context, run=run_training)

    reported = [activity for _, activity in context.reports]
    assert [now for now, before in zip(reported, [None, *reported], strict=False) if now != before] == activities
    assert [share for share, _ in context.reports] == sorted(share for share, _ in context.reports)
    second = [details for details in context.details if (details.get("epoch"), details.get("epochs")) == (2, 2)]
    assert len(second) >= 3 * (recipe == "aws-user-personalization-v2")
    # What the first epoch was measured by holds until the second one has ended.
    assert all({"training_loss", "validation_ndcg_at_10", "seconds_left"} <= details.keys() for details in second)
    assert all(details["seconds_left"] > 0 for details in second)


class Reports:
    """Keeps what a training process would write."""

    def __init__(self):
        self.fractions: list[float] = []
        self.activities: list[str] = []
        self.metrics: list[dict[str, float]] = []

    def __call__(self, *, fraction, stage, metrics):
        self.fractions.append(fraction)
        self.activities.append(stage)
        self.metrics.append(dict(metrics))


def test_what_a_fit_reports_is_placed_into_the_stage_that_runs():
    reports = Reports()
    progress = StageProgress(("load", "fit", "index"), reports)

    with progress.stage("load"):
        pass
    with progress.stage("fit"):
        progress(fraction=0.5, stage="epoch 1 of 2", metrics={})
    with progress.stage("index"):
        pass

    total = sum(STAGES[name].weight for name in ("load", "fit", "index"))
    load, fit = (STAGES[name].weight / total for name in ("load", "fit"))
    assert reports.fractions == pytest.approx([0.0, load, load + fit / 2, load + fit])
    assert reports.activities == ["loading data", "fitting", "epoch 1 of 2", "indexing"]
    assert list(progress.seconds) == ["load", "fit", "index"]


def test_a_stage_that_a_kind_does_not_have_is_neither_reported_nor_measured():
    reports = Reports()
    progress = StageProgress(("load", "update"), reports)

    with progress.stage("extend"):
        pass

    assert reports.activities == []
    assert progress.seconds == {}


def test_every_trial_of_tuning_takes_as_much_as_the_training():
    reports = Reports()
    names = ("load", "tune", "fit", "evaluate", "compare", "extend", "index", "pack")
    progress = StageProgress(names, reports, trials=4)

    with progress.stage("tune"):
        progress(fraction=1.0, stage="tuned", metrics={})
    with progress.stage("fit"):
        pass

    assert reports.fractions == pytest.approx([0.81, 0.81])


def test_the_speed_of_a_part_is_that_of_the_whole():
    reports = Reports()
    progress = StageProgress(("load", "fit", "index"), reports)

    with progress.stage("fit"):
        progress(fraction=0.5, stage="epoch 1 of 2", metrics={"seconds_in_all": 60.0})

    total = sum(STAGES[name].weight for name in ("load", "fit", "index"))
    assert reports.metrics == [{}, {"seconds_in_all": pytest.approx(60.0 * total / STAGES["fit"].weight)}]
