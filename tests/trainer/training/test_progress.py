"""What a training says while it goes on: true activities, and shares that never fall."""

from __future__ import annotations

import pytest

from tests.trainer.place import walks
from tests.trainer.training.test_handler import QUICK, train
from trainer.worker import NullJobContext


class RecordingJobContext(NullJobContext):
    def __init__(self):
        self.reports = []

    def report(self, *, fraction, activity):
        self.reports.append((fraction, activity))


@pytest.mark.parametrize(
    ("recipe", "config", "activities"),
    [
        (
            "aws-user-personalization-v2",
            QUICK,
            [
                "freezing the data", "loading data", "fitting", "counting what follows what", "epoch 1 of at most 2",
                "epoch 2 of at most 2", "weighing network and counts", "evaluating", "learning from everybody",
                "extension, epoch 1 of 3", "extension, epoch 2 of 3", "extension, epoch 3 of 3", "indexing",
                "writing the artifact", "publishing",
            ],
        ),
        (
            "aws-sims",
            "{}",
            [
                "freezing the data", "loading data", "fitting", "counting", "counted", "evaluating",
                "learning from everybody", "counting", "counted", "indexing", "writing the artifact", "publishing",
            ],
        ),
    ],
)  # fmt: skip
def test_a_training_says_what_it_does(place, recipe, config, activities):
    place.write("a.csv", *walks())
    place.bring("s3://films/a.csv")
    context = RecordingJobContext()

    train(place, recipe, solution_config_json=config, context=context)

    reported = [activity for _, activity in context.reports]
    assert [now for now, before in zip(reported, [None, *reported], strict=False) if now != before] == activities
    assert [share for share, _ in context.reports] == sorted(share for share, _ in context.reports)
