"""What a solution's configuration says about a training."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from common.errors import invalid

__all__ = ["SolutionConfiguration"]


@dataclass(frozen=True, slots=True)
class SolutionConfiguration:
    """The members of `solutionConfig` that are used.

    Attributes:
        hyperparameters: Strings by name, those of the feature transformation too, whose names are others.
        event_value_threshold: Interactions of a smaller EVENT_VALUE, or without one, are left out; None takes all.
    """

    hyperparameters: Mapping[str, str]
    event_value_threshold: float | None

    @classmethod
    def parse(cls, text: str) -> SolutionConfiguration:
        """Read Personalize's JSON; nothing is the same as an empty object.

        Raises:
            InvalidInput: It is malformed.
        """
        try:
            document = json.loads(text or "{}")
        except json.JSONDecodeError as error:
            raise invalid("solutionConfig", got=text, want=f"a JSON object ({error})") from error
        if not isinstance(document, dict):
            raise invalid("solutionConfig", got=text, want="a JSON object")
        parameters = {
            **document.get("algorithmHyperParameters", {}), **document.get("featureTransformationParameters", {}),
        }  # fmt: skip
        return cls(parameters, _threshold(document.get("eventValueThreshold")))


def _threshold(value: str | None) -> float | None:
    if value in (None, ""):
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise invalid("solutionConfig.eventValueThreshold", got=value, want="a number")
    return number
