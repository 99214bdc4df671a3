"""What a solution's configuration says about a training."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from common.errors import invalid

__all__ = ["ColumnNames", "SolutionConfiguration"]

#: Names of columns by type of dataset, in upper case.
ColumnNames = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class SolutionConfiguration:
    """The members of `solutionConfig` that are used.

    Attributes:
        hyperparameters: Strings by name, those of the feature transformation too, whose names are others.
        event_value_threshold: Interactions of a smaller EVENT_VALUE, or without one, are left out; None takes all.
        excluded_columns: Columns that are not learnt from.
        included_columns: The only columns of a dataset that are learnt from; datasets that are not named keep all.
    """

    hyperparameters: Mapping[str, str]
    event_value_threshold: float | None
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
        columns = document.get("trainingDataConfig", {})
        return cls(
            parameters,
            _threshold(document.get("eventValueThreshold")),
            excluded_columns=_names(columns.get("excludedDatasetColumns", {})),
            included_columns=_names(columns.get("includedDatasetColumns", {})),
        )


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


def _names(value: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {dataset_type.upper(): tuple(names) for dataset_type, names in value.items()}
