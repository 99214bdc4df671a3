"""Reads what a solution's configuration says about a training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from common.errors import invalid
from protos.tailorbird.control.v1 import common_pb2, solution_config_pb2
from protos.tailorbird.control.v1.solution_config_pb2 import ObjectiveSensitivity, SolutionConfig
from trainer.domain.configuration import EventParameters, Objective, SolutionConfiguration

__all__ = ["read_configuration"]

_SENSITIVITY = "OBJECTIVE_SENSITIVITY_"


def read_configuration(config: SolutionConfig) -> SolutionConfiguration:
    """Read the members of a configuration that trainings use.

    Raises:
        InvalidInput: A threshold is no number, or no event counts.
    """
    columns = config.training_data_config
    return SolutionConfiguration(
        {**config.algorithm_hyper_parameters, **config.feature_transformation_parameters},
        _threshold(config.event_value_threshold),
        _events(config.events_config.event_parameters_list),
        _objective(config.optimization_objective) if config.HasField("optimization_objective") else None,
        excluded_columns=_names(columns.excluded_dataset_columns),
        included_columns=_names(columns.included_dataset_columns),
    )


def _threshold(text: str) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise invalid("solutionConfig.eventValueThreshold", got=text, want="a number")
    return number


def _events(entries: Iterable[solution_config_pb2.EventParameters]) -> tuple[EventParameters, ...]:
    settings = tuple(
        EventParameters(
            entry.event_type,
            entry.event_value_threshold if entry.HasField("event_value_threshold") else None,
            entry.weight if entry.HasField("weight") else 1.0,
        )
        for entry in entries
    )
    if settings and not any(item.weight for item in settings):
        raise invalid("solutionConfig.eventsConfig", got="weights of 0 alone", want="at least one above 0")
    return settings


def _objective(objective: solution_config_pb2.OptimizationObjective) -> Objective:
    if not objective.objective_sensitivity:
        return Objective(objective.item_attribute)
    sensitivity = ObjectiveSensitivity.Name(objective.objective_sensitivity).removeprefix(_SENSITIVITY)
    return Objective(objective.item_attribute, sensitivity)


def _names(columns: Mapping[str, common_pb2.StringList]) -> dict[str, tuple[str, ...]]:
    return {dataset_type.upper(): tuple(names.values) for dataset_type, names in columns.items()}
