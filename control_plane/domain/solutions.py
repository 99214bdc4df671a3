"""Checks of `solutionConfig` and of the training mode.

Settings that do not fit are refused by name: accepting and then ignoring one would silently train something else than
the caller wants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from common.avro import AvroSchema
from common.columns import EVENT_TYPE
from common.errors import invalid
from control_plane.domain.auto_ml import check_auto_ml
from control_plane.domain.events import check_events, event_rules
from control_plane.domain.recipes import check_feature_parameters, check_hyper_parameters
from control_plane.domain.schedules import training_interval
from control_plane.domain.schemas import DatasetType, check_dataset_type
from control_plane.domain.tuning import check_tuning
from protos.tailorbird.control.v1.common_pb2 import StringList, TrainingDataConfig
from protos.tailorbird.control.v1.solution_config_pb2 import OptimizationObjective, SolutionConfig
from recipes.spec import RecipeSpec

__all__ = [
    "check_columns_exist",
    "check_objective_column",
    "check_solution",
    "check_training_columns",
    "check_training_mode",
    "without_columns",
]

_MAX_PARAMETERS: Final = 100
_MAX_DATASETS: Final = 3
_MAX_COLUMNS: Final = 50
_MAX_COLUMN_NAME: Final = 150
_OBJECTIVE_FIELD: Final = "solutionConfig.optimizationObjective"
_COLUMNS_FIELD: Final = "solutionConfig.trainingDataConfig"
_EXCLUDED: Final = "excludedDatasetColumns"
_INCLUDED: Final = "includedDatasetColumns"
_NUMERIC: Final = frozenset({"int", "long", "float", "double"})
#: Columns that identify interactions, items and users: they are no features, and cannot be left out.
_ALWAYS_INCLUDED: Final = frozenset({"USER_ID", "ITEM_ID", "TIMESTAMP", "ACTION_ID", EVENT_TYPE})


def check_solution(
    recipe: RecipeSpec | None, config: SolutionConfig, *, perform_hpo: bool, event_type: str | None = None
) -> None:
    """Check the configuration of a solution.

    Args:
        recipe: The recipe of the solution; None where AutoML chooses it.
        config: The configuration.
        perform_hpo: Whether hyperparameters are tuned.
        event_type: The event type to train on, already checked; None for all.

    Raises:
        InvalidInput: A setting is wrong, does not fit the recipe, or is not built yet.
        ResourceNotFound: AutoML is to choose among recipes of which one does not exist.
    """
    training_interval(config.auto_training_config)
    check_training_columns(config.training_data_config)
    if recipe is None:
        check_events(config, event_type=event_type, weighs_events=False, recipe="a recipe that AutoML chooses")
        check_auto_ml(config)
        return
    if config.HasField("auto_ml_config"):
        raise invalid("solutionConfig.autoMLConfig", got="a configuration", want="none, or performAutoML true")
    check_events(
        config, event_type=event_type, weighs_events="eventsConfig" in recipe.solution_options, recipe=recipe.name
    )
    if not recipe.reads_event_values and any(rule.least_value is not None for rule in event_rules(config)):
        want = f"none: {recipe.name} counts events as they come, whatever their values"
        raise invalid("solutionConfig.eventValueThreshold", got=config.event_value_threshold, want=want)
    if config.HasField("optimization_objective"):
        takes_objective = "optimizationObjective" in recipe.solution_options
        _check_objective(config.optimization_objective, takes_objective=takes_objective, recipe=recipe.name)
    for member, values in (
        ("algorithmHyperParameters", config.algorithm_hyper_parameters),
        ("featureTransformationParameters", config.feature_transformation_parameters),
    ):
        if len(values) > _MAX_PARAMETERS:
            raise invalid(f"solutionConfig.{member}", got=f"{len(values)} entries", want=f"at most {_MAX_PARAMETERS}")
    check_hyper_parameters(recipe, config.algorithm_hyper_parameters)
    check_feature_parameters(recipe, config.feature_transformation_parameters)
    check_tuning(recipe, config, perform_hpo=perform_hpo)


def check_training_mode(value: str | None, recipe: RecipeSpec | None) -> str:
    """Return the training mode of a solution version: FULL, also when the request has none, or UPDATE.

    Args:
        value: The mode in the request.
        recipe: The recipe of the solution; None where AutoML chooses it.

    Raises:
        InvalidInput: There is no such mode, or the recipe does not support it.
    """
    mode = value or "FULL"
    if mode == "UPDATE" and (recipe is None or "UPDATE" not in recipe.solution_options):
        name = "a recipe that AutoML chooses" if recipe is None else recipe.name
        raise invalid("trainingMode", got=value, want=f"FULL: {name} knows no other")
    if mode not in ("FULL", "UPDATE"):
        raise invalid("trainingMode", got=value, want="FULL or UPDATE")
    return mode


def check_objective_column(objective: OptimizationObjective, *, items: str | None) -> None:
    """Check that the Items dataset has the column of an objective, numeric and never null.

    Args:
        objective: `optimizationObjective`, which `check_solution` has accepted.
        items: Avro schema of the Items dataset; None without one.

    Raises:
        InvalidInput: It does not have such a column.
    """
    name = objective.item_attribute
    column = None if items is None else AvroSchema.parse(items).field(name)
    if column is None or column.type not in _NUMERIC or column.nullable:
        actual = "no such column" if column is None else f"{column.type}{' or null' if column.nullable else ''}"
        want = f"a numeric column without null of the Items dataset, which has {actual}"
        raise invalid(f"{_OBJECTIVE_FIELD}.itemAttribute", got=name, want=want)


def check_columns_exist(config: TrainingDataConfig, schemas: Mapping[str, str], *, field: str = _COLUMNS_FIELD) -> None:
    """Check that the datasets have the columns that `trainingDataConfig` names.

    Args:
        config: `trainingDataConfig`, which `check_solution` has accepted.
        schemas: Avro schemas of the existing datasets, by type; columns of other types are not checked.
        field: Where it stands in the request.

    Raises:
        InvalidInput: A schema does not have a column.
    """
    for part, columns_by_type in _parts(config):
        for kind, names in _by_type(f"{field}.{part}", columns_by_type).items():
            if kind not in schemas:
                continue
            columns = [column.name for column in AvroSchema.parse(schemas[kind]).fields]
            for name in names:
                if name not in columns:
                    raise invalid(f"{field}.{part}.{kind}", got=name, want=f"one of {', '.join(columns)}")


def without_columns(config: SolutionConfig, columns: Mapping[str, Sequence[str]]) -> SolutionConfig:
    """Return a configuration that excludes further columns from the training.

    Args:
        config: The configuration, which stays as it is.
        columns: Names of columns by type of dataset. Of types for which it names the included columns, none is added.
    """
    if not columns:
        return config
    changed = SolutionConfig()
    changed.CopyFrom(config)
    data = changed.training_data_config
    included = {kind.upper() for kind in data.included_dataset_columns}
    keys = {kind.upper(): kind for kind in data.excluded_dataset_columns}
    for kind, names in columns.items():
        if kind not in included:
            data.excluded_dataset_columns[keys.get(kind, kind)].values.extend(names)
    return changed


def _check_objective(objective: OptimizationObjective, *, takes_objective: bool, recipe: str) -> None:
    """Check `optimizationObjective`; its sensitivity is an enum of the contract, and OFF when it is left out."""
    if not takes_objective:
        want = f"none: {recipe} takes no objective; aws-user-personalization and aws-personalized-ranking do"
        raise invalid(_OBJECTIVE_FIELD, got=objective.item_attribute, want=want)
    name = objective.item_attribute
    if not 1 <= len(name) <= _MAX_COLUMN_NAME:
        raise invalid(
            f"{_OBJECTIVE_FIELD}.itemAttribute",
            got=name,
            want=f"a column of the items, 1 to {_MAX_COLUMN_NAME} characters",
        )


def check_training_columns(config: TrainingDataConfig, *, field: str = _COLUMNS_FIELD) -> None:
    """Check `trainingDataConfig` without the schemas of the datasets.

    Args:
        config: Which columns are trained on.
        field: Where it stands in the request.

    Raises:
        InvalidInput: It is too long, names a dataset in both of its parts, or leaves out columns that must not be.
    """
    names_by_part = {part: _by_type(f"{field}.{part}", columns_by_type) for part, columns_by_type in _parts(config)}
    for kind in sorted(names_by_part[_EXCLUDED].keys() & names_by_part[_INCLUDED].keys()):
        raise invalid(f"{field}.{_INCLUDED}.{kind}", got=kind, want=f"a dataset that is not in {_EXCLUDED} too")
    for kind, names in names_by_part[_EXCLUDED].items():
        if required_names := sorted(_ALWAYS_INCLUDED.intersection(names)):
            raise invalid(f"{field}.{_EXCLUDED}.{kind}", got=required_names, want="columns that can be left out")


def _parts(config: TrainingDataConfig) -> tuple[tuple[str, Mapping[str, StringList]], ...]:
    """Return the two members of `trainingDataConfig` with their names."""
    return (_EXCLUDED, config.excluded_dataset_columns), (_INCLUDED, config.included_dataset_columns)


def _by_type(field: str, value: Mapping[str, StringList]) -> dict[DatasetType, Sequence[str]]:
    """Return the column names in a part of `trainingDataConfig`, at a field, by type of dataset; they are checked."""
    if len(value) > _MAX_DATASETS:
        raise invalid(field, got=f"{len(value)} datasets", want=f"at most {_MAX_DATASETS}")
    names_by_type: dict[DatasetType, Sequence[str]] = {}
    for key, column_names in value.items():
        kind, names = check_dataset_type(key), column_names.values
        if kind in names_by_type:
            raise invalid(field, got=sorted(value), want="every dataset once")
        if len(names) > _MAX_COLUMNS:
            raise invalid(f"{field}.{kind}", got=f"{len(names)} columns", want=f"at most {_MAX_COLUMNS}")
        if too_long := [name for name in names if len(name) > _MAX_COLUMN_NAME]:
            raise invalid(
                f"{field}.{kind}",
                got=too_long[0],
                want=f"names of at most {_MAX_COLUMN_NAME} characters",
            )
        names_by_type[kind] = names
    return names_by_type
