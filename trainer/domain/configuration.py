"""What a solution's configuration says about a training, with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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

    def learns_from(self, dataset_type: str, column: str) -> bool:
        """Return whether a column of a dataset, e.g. of `ITEMS`, may be learnt from."""
        included = self.included_columns.get(dataset_type)
        excluded = self.excluded_columns.get(dataset_type, ())
        return (included is None or column in included) and column not in excluded
