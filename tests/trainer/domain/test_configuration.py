"""What a solution's configuration says about a training, and what is refused of it."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from trainer.domain.configuration import EventParameters, SolutionConfiguration


def test_configuration_is_read_from_the_services_own_json():
    configuration = SolutionConfiguration.parse(
        '{"algorithmHyperParameters": {"layers": "1"}, "eventValueThreshold": "3.5"}'
    )
    assert (configuration.hyperparameters, configuration.event_value_threshold) == ({"layers": "1"}, 3.5)
    assert SolutionConfiguration.parse("") == SolutionConfiguration({}, None)


def test_settings_of_single_types_are_read_with_their_defaults():
    configuration = SolutionConfiguration.parse(
        '{"eventsConfig": {"eventParametersList": [{"eventType": "buy", "eventValueThreshold": 2, "weight": 0.25},'
        ' {"eventType": "click"}]}}'
    )
    assert configuration.events == (EventParameters("buy", 2, 0.25), EventParameters("click", None, 1.0))
    with pytest.raises(InvalidInput, match="at least one above 0"):
        SolutionConfiguration.parse('{"eventsConfig": {"eventParametersList": [{"eventType": "a", "weight": 0}]}}')


def test_parameters_of_the_feature_transformation_are_hyperparameters_of_the_recipe():
    text = '{"algorithmHyperParameters": {"bptt": "8"}, "featureTransformationParameters": {"low": "0.1"}}'
    assert SolutionConfiguration.parse(text).hyperparameters == {"bptt": "8", "low": "0.1"}


def test_columns_are_named_by_type_of_dataset_in_any_case():
    configuration = SolutionConfiguration.parse(
        '{"trainingDataConfig": {"excludedDatasetColumns": {"Items": ["A", "B"]}, "includedDatasetColumns": {}}}'
    )
    assert (configuration.excluded_columns, configuration.included_columns) == ({"ITEMS": ("A", "B")}, {})


@pytest.mark.parametrize("text", ["[]", "{", '{"eventValueThreshold": "much"}', '{"eventValueThreshold": "nan"}'])
def test_malformed_configurations_are_refused(text):
    with pytest.raises(InvalidInput, match="solutionConfig"):
        SolutionConfiguration.parse(text)
