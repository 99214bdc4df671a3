"""Which schedules of AWS are trainings every N days."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.declaration.aws_schedule import days_between
from common.errors import InvalidInput


@pytest.mark.parametrize(
    ("expression", "days"),
    [
        ("cron(0 0 ? * 1 *)", 7),
        ("cron(30 2 ? * SUN *)", 7),
        ("cron(0 12 ? * mon *)", 7),
        ("cron(0 0 * * ? *)", 1),
        ("cron(0 0 1/1 * ? *)", 1),
        ("cron(0 0 */1 1-12 ? *)", 1),
        ("cron(0 0 ? * * *)", 1),
        ("cron(0 0 ? * SUN-SAT *)", 1),
        ("cron(0 0 ? * 2-1 *)", 1),
        ("cron(0 0 ? JAN-DEC FRI *)", 7),
        ("rate(1 day)", 1),
        ("rate(14 days)", 14),
        ("rate(48 hours)", 2),
        ("cron(0 0 ? * MON,THU *)", None),
        ("cron(0 0 ? * MON-FRI *)", None),
        ("cron(0 0 ? * FRI#1 *)", None),
        ("cron(0 0 ? * 6L *)", None),
        ("cron(0 0 1 * ? *)", None),
        ("cron(0 0 */2 * ? *)", None),
        ("cron(0 0 L * ? *)", None),
        ("cron(0 0 15W * ? *)", None),
        ("cron(0 0,12 * * ? *)", None),
        ("cron(0 */6 * * ? *)", None),
        ("cron(* 0 * * ? *)", None),
        ("cron(0 0 ? 1 1 *)", None),
        ("cron(0 0 ? * 1 2026)", None),
        ("rate(5 hours)", None),
        ("rate(31 days)", None),
    ],
)
def test_schedules_of_equal_distances_are_told(expression, days):
    assert days_between(expression) == days


@pytest.mark.parametrize(
    "expression",
    [
        "cron(0 0 * * *)",
        "cron(0 0 * * * *)",
        "cron(0 0 ? * ? *)",
        "cron(60 0 * * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 0 ? * 0 *)",
        "cron(0 0 ? * 8 *)",
        "cron(0 0 32 * ? *)",
        "cron(0 0 * 13 ? *)",
        "rate(0 fortnights)",
        "every day",
        "",
    ],
)
def test_what_is_no_schedule_is_refused(expression):
    with pytest.raises(InvalidInput, match="want "):
        days_between(expression)


@given(text=st.text("cron(0123456789*/,-?LW# MONSUN)", max_size=60).map(lambda inner: f"cron({inner})"))
def test_any_text_is_a_schedule_or_refused(text):
    try:
        days = days_between(text)
    except InvalidInput:
        return
    assert days in (None, 1, 7)
