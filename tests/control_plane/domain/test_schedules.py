"""Rates of automatic trainings, and what is due when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from common.errors import InvalidInput
from control_plane.domain.schedules import next_time, training_interval
from protos.tailorbird.control.v1.solution_config_pb2 import AutoTrainingConfig

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(("text", "days"), [("rate(1 day)", 1), ("rate(2 days)", 2), ("rate(30 days)", 30)])
def test_a_rate_of_days_is_an_interval(text, days):
    assert training_interval(AutoTrainingConfig(scheduling_expression=text)) == timedelta(days=days)


def test_a_week_is_the_default():
    assert training_interval(AutoTrainingConfig()) == timedelta(days=7)


@pytest.mark.parametrize(
    "text",
    ["", "rate(0 days)", "rate(31 days)", "rate(999 days)", "rate(1 week)", "rate(1.5 days)", "cron(0 0 * * ? *)",
     "rate(1 days) ", "rate(\u0662 days)", "rate(" + "9" * 500 + " days)"],
)  # fmt: skip
def test_anything_else_is_refused(text):
    with pytest.raises(InvalidInput, match=r"solutionConfig\.autoTrainingConfig\.schedulingExpression"):
        training_interval(AutoTrainingConfig(scheduling_expression=text))


@pytest.mark.parametrize(
    ("hours", "expected"),
    [(0, 24), (23, 24), (24, 48), (25, 48), (24 * 10 + 1, 24 * 11), (-5, 24)],
)
def test_times_that_were_missed_are_not_made_up_for(hours, expected):
    now = MOMENT + timedelta(hours=hours)
    assert next_time(MOMENT, timedelta(days=1), now=now) == MOMENT + timedelta(hours=expected)
