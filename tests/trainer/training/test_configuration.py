"""What a solution's configuration says about a training, and what is refused of it."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from protos.tailorbird.control.v1.common_pb2 import StringList, TrainingDataConfig
from protos.tailorbird.control.v1.solution_config_pb2 import (
    OBJECTIVE_SENSITIVITY_LOW,
    EventParameters,
    EventsConfig,
    OptimizationObjective,
    SolutionConfig,
)
from trainer.domain import configuration as domain
from trainer.domain.configuration import Objective, SolutionConfiguration
from trainer.training.configuration import read_configuration


def test_threshold_and_hyperparameters_are_read():
    configuration = read_configuration(
        SolutionConfig(algorithm_hyper_parameters={"layers": "1"}, event_value_threshold="3.5")
    )
    assert (configuration.hyperparameters, configuration.event_value_threshold) == ({"layers": "1"}, 3.5)
    assert read_configuration(SolutionConfig()) == SolutionConfiguration({}, None)


def events(*entries: EventParameters) -> SolutionConfig:
    return SolutionConfig(events_config=EventsConfig(event_parameters_list=entries))


def test_settings_of_single_types_are_read_with_their_defaults():
    config = events(
        EventParameters(event_type="buy", event_value_threshold=2, weight=0.25), EventParameters(event_type="click")
    )
    assert read_configuration(config).events == (
        domain.EventParameters("buy", 2, 0.25),
        domain.EventParameters("click", None, 1.0),
    )
    with pytest.raises(InvalidInput, match="at least one above 0"):
        read_configuration(events(EventParameters(event_type="a", weight=0)))


def test_parameters_of_the_feature_transformation_are_hyperparameters_of_the_recipe():
    config = SolutionConfig(algorithm_hyper_parameters={"bptt": "8"}, feature_transformation_parameters={"low": "0.1"})
    assert read_configuration(config).hyperparameters == {"bptt": "8", "low": "0.1"}


def test_columns_are_named_by_type_of_dataset_in_any_case():
    columns = TrainingDataConfig(excluded_dataset_columns={"Items": StringList(values=["A", "B"])})
    configuration = read_configuration(SolutionConfig(training_data_config=columns))
    assert (configuration.excluded_columns, configuration.included_columns) == ({"ITEMS": ("A", "B")}, {})


@pytest.mark.parametrize(("sensitivity", "read"), [(OBJECTIVE_SENSITIVITY_LOW, "LOW"), (None, "OFF")])
def test_an_objective_counts_for_nothing_unless_it_is_said_how_much(sensitivity, read):
    objective = OptimizationObjective(item_attribute="YEAR", objective_sensitivity=sensitivity)
    configuration = read_configuration(SolutionConfig(optimization_objective=objective))
    assert configuration.objective == Objective("YEAR", read)
    assert read_configuration(SolutionConfig()).objective is None


@pytest.mark.parametrize("threshold", ["much", "nan"])
def test_threshold_that_is_no_number_is_refused(threshold):
    with pytest.raises(InvalidInput, match="solutionConfig"):
        read_configuration(SolutionConfig(event_value_threshold=threshold))
