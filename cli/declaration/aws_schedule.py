"""Schedules of AWS, and which of them are trainings every N days, the only schedule that the API has.

`cron(minutes hours day-of-month month day-of-week year)`, in UTC: `?` in one of the two fields of days, days of the
week from 1 = Sunday or by their names. Every N days means that the time between two trainings is always N days: every
day of the month, or one day of the week. The hour is not kept: the API counts from the last training.
"""

from __future__ import annotations

import re
from typing import Final

from common.errors import InvalidInput

__all__ = ["days_between"]

_CRON: Final = re.compile(r"cron\(\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s*\)")
_RATE: Final = re.compile(r"rate\(\s*([0-9]{1,4})\s+(minute|hour|day)s?\s*\)")
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MINUTES_PER: Final = {"minute": 1, "hour": 60, "day": 1440}
_LONGEST_DAYS: Final = 30


def days_between(expression: str) -> int | None:
    """Return the days between two times of a schedule, None if they differ or are no whole number of 1 to 30.

    Raises:
        InvalidInput: The text is no schedule of AWS.
    """
    if (rate := _RATE.fullmatch(expression)) is not None:
        days, rest = divmod(int(rate[1]) * _MINUTES_PER[rate[2]], _MINUTES_PER["day"])
        return days if rest == 0 and 1 <= days <= _LONGEST_DAYS else None
    cron = _CRON.fullmatch(expression)
    if cron is None:
        raise InvalidInput("want cron(minutes hours day-of-month month day-of-week year) or rate(N days)")
    minutes = _values(cron[1], 0, 59)
    hours = _values(cron[2], 0, 23)
    month_days = _days(cron[3], 31)
    months = _values(cron[4], 1, 12, _MONTHS)
    week_days = _days(cron[5], 7)
    years = _values(cron[6], 1970, 2199)
    if (month_days is None) == (week_days is None):
        raise InvalidInput("want ? in one of the two fields of days")
    if len(minutes) > 1 or len(hours) > 1 or len(months) < len(_MONTHS) or len(years) < 2199 - 1970 + 1:
        return None
    if week_days is not None:
        return {1: 7, 7: 1}.get(len(week_days))
    return 1 if month_days is not None and len(month_days) == 31 else None


def _days(text: str, last: int) -> frozenset[int] | None:
    """Return days of the month or week; None for `?`, an empty set for days that differ from month to month."""
    if text == "?":
        return None
    if re.fullmatch(r"L|LW|L-[0-9]{1,2}|[0-9]{1,2}W|[0-9A-Z]{1,3}L|[0-9A-Z]{1,3}#[1-5]", text.upper()):
        return frozenset()
    return _values(text, 1, last, _DAYS if last == len(_DAYS) else ())


def _values(text: str, first: int, last: int, names: tuple[str, ...] = ()) -> frozenset[int]:
    """Return the values of one field: numbers, names, ranges, steps and lists of them.

    Raises:
        InvalidInput: The field is none, or a value lies outside of its range.
    """
    values: set[int] = set()
    for entry in text.upper().split(","):
        base, slash, step_text = entry.partition("/")
        step = _number(step_text, 1, last, ()) if slash else 1
        start_text, dash, end_text = base.partition("-")
        if base == "*":
            start, end = first, last
        elif dash:
            start, end = _number(start_text, first, last, names), _number(end_text, first, last, names)
        else:
            start = _number(base, first, last, names)
            end = last if slash else start
        # A range of days may go over the end of the week.
        ends = (
            range(start, end + 1, step) if start <= end else [*range(start, last + 1), *range(first, end + 1)][::step]
        )
        values.update(ends)
    return frozenset(values)


def _number(text: str, first: int, last: int, names: tuple[str, ...]) -> int:
    if text in names:
        return names.index(text) + 1
    if not re.fullmatch(r"[0-9]{1,4}", text) or not first <= int(text) <= last:
        raise InvalidInput(f"got {text!r} in a field of a schedule, want a number from {first} to {last}")
    return int(text)
