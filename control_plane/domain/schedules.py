"""What is done to solutions without being asked: how often they are trained (`autoTrainingConfig`) and updated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from common.errors import invalid
from protos.tailorbird.control.v1.solution_config_pb2 import AutoTrainingConfig

__all__ = ["AutomaticTraining", "Task", "next_time", "training_interval"]

_FIELD: Final = "autoTrainingConfig.schedulingExpression"
_EXPRESSION: Final = re.compile(r"rate\(([0-9]{1,3}) days?\)")
_MAX_EXPRESSION: Final = 16
_DEFAULT_DAYS, _MAX_DAYS = 7, 30


class Task(StrEnum):
    """What a schedule is for.

    TRAINING makes a new version. UPDATE adds new items to the latest one.
    """

    TRAINING = "TRAINING"
    UPDATE = "UPDATE"


@dataclass(frozen=True, slots=True)
class AutomaticTraining:
    """How this installation trains and updates solutions that do not say.

    Attributes:
        by_default: Whether solutions whose CreateSolution says nothing are trained automatically.
        first_after: When the first training is due after a solution, or another interval; time to train it on request
            instead.
        update_every: How long after one incremental update the next one is due.
    """

    by_default: bool = True
    first_after: timedelta = timedelta(minutes=55)
    update_every: timedelta = timedelta(minutes=30)


def training_interval(config: AutoTrainingConfig, *, field: str = f"solutionConfig.{_FIELD}") -> timedelta:
    """Return how long after the beginning of a training the next one is due; 7 days by default.

    Args:
        config: `autoTrainingConfig`.
        field: Where the expression stands in the request.

    Raises:
        InvalidInput: The expression is no rate from 1 to 30 days.
    """
    if not config.HasField("scheduling_expression"):
        return timedelta(days=_DEFAULT_DAYS)
    text = config.scheduling_expression
    match = _EXPRESSION.fullmatch(text) if len(text) <= _MAX_EXPRESSION else None
    days = int(match[1]) if match else 0
    if not 1 <= days <= _MAX_DAYS:
        raise invalid(field, got=text, want=f"rate(N days) with N from 1 to {_MAX_DAYS}")
    return timedelta(days=days)


def next_time(begun: datetime, interval: timedelta, *, now: datetime) -> datetime:
    """Return the first time after `now` that is a whole number of intervals after a beginning.

    Times that were missed, because no control plane ran, are not made up for.
    """
    missed = max(0, (now - begun) // interval)
    return begun + (missed + 1) * interval
