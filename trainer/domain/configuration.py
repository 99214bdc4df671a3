"""What a solution's configuration says about a training."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from common.errors import invalid

__all__ = ["ColumnNames", "EventParameters", "Objective", "SolutionConfiguration"]

#: Names of columns by type of dataset, in upper case.
ColumnNames = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class EventParameters:
    """Settings of the events of one type.

    Attributes:
        event_type: The type, exactly.
        threshold: Events of a smaller value, or without one, are left out; None takes all.
        weight: How much one counts, 0 to 1; only ratios matter.
    """

    event_type: str
    threshold: float | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Objective:
    """What recommendations shall consider besides relevance.

    Attributes:
        attribute: A numeric column of the items; items with higher values are recommended more.
        sensitivity: OFF, LOW, MEDIUM or HIGH.
    """

    attribute: str
    sensitivity: str = "OFF"


@dataclass(frozen=True, slots=True)
class SolutionConfiguration:
    """The members of `solutionConfig` that trainings use.

    Attributes:
        hyperparameters: Strings by name, those of the feature transformation too, whose names are others.
        event_value_threshold: Interactions of a smaller EVENT_VALUE, or without one, are left out; None takes all.
        events: Settings by type; where there are any, interactions of other types are left out.
        objective: What recommendations shall consider besides relevance, None for nothing.
        excluded_columns: Columns that are not learnt from.
        included_columns: The only columns of a dataset that are learnt from; datasets that are not named keep all.
    """

    hyperparameters: Mapping[str, str]
    event_value_threshold: float | None
    events: tuple[EventParameters, ...] = ()
    objective: Objective | None = None
    excluded_columns: ColumnNames = field(default_factory=dict)
    included_columns: ColumnNames = field(default_factory=dict)

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
        objective, columns = document.get("optimizationObjective"), document.get("trainingDataConfig", {})
        return cls(
            parameters,
            _threshold(document.get("eventValueThreshold")),
            _events(document.get("eventsConfig", {}).get("eventParametersList", ())),
            None if objective is None else _objective(objective),
            excluded_columns=_names(columns.get("excludedDatasetColumns", {})),
            included_columns=_names(columns.get("includedDatasetColumns", {})),
        )

    def learns_from(self, dataset_type: str, column: str) -> bool:
        """Return whether a column of a dataset, e.g. of `ITEMS`, may be learnt from."""
        included = self.included_columns.get(dataset_type)
        excluded = self.excluded_columns.get(dataset_type, ())
        return (included is None or column in included) and column not in excluded


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


def _objective(value: Mapping[str, str]) -> Objective:
    return Objective(value["itemAttribute"], value.get("objectiveSensitivity", "OFF"))


def _events(entries: Sequence[Mapping[str, Any]]) -> tuple[EventParameters, ...]:
    settings = tuple(
        EventParameters(entry["eventType"], entry.get("eventValueThreshold"), entry.get("weight", 1.0))
        for entry in entries
    )
    if settings and not any(item.weight for item in settings):
        raise invalid("solutionConfig.eventsConfig", got="weights of 0 alone", want="at least one above 0")
    return settings


def _names(value: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {dataset_type.upper(): tuple(names) for dataset_type, names in value.items()}
