"""Tuning of hyperparameters (`performHPO` and `solutionConfig.hpoConfig`).

Personalize shows some names with a prefix that requests do not need (`training.bptt` for `bptt`). Users copy them from
its responses into requests, so both forms are accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from common.errors import InvalidInput, invalid
from control_plane.domain.fields import not_built
from protos.tailorbird.control.v1.solution_config_pb2 import (
    CategoricalHyperParameterRange,
    ContinuousHyperParameterRange,
    HPOResourceConfig,
    HyperParameterRanges,
    IntegerHyperParameterRange,
    SolutionConfig,
)
from protos.tailorbird.internal.v1.jobs_pb2 import HyperParameterRange, HyperParameterTuning
from recipes.spec import HyperParameter, RecipeSpec

__all__ = ["check_tuning"]

_FIELD: Final = "solutionConfig.hpoConfig"
_RANGES: Final = f"{_FIELD}.algorithmHyperParameterRanges"
_JOBS: Final = f"{_FIELD}.hpoResourceConfig"
#: Trainings when `hpoConfig` does not say, and at most; parallel trainings at most.
_DEFAULT_TRIALS, _MAX_TRIALS, _MAX_PARALLEL = 10, 40, 10
#: Most ranges of one kind, and most values of one categorical range.
_MAX_RANGES: Final = 100
_PREFIXES: Final = ("training.", "data.")
_BOOLEANS: Final = ("true", "false")

_AnyRange: TypeAlias = IntegerHyperParameterRange | ContinuousHyperParameterRange | CategoricalHyperParameterRange
Kind: TypeAlias = Literal["integer", "float", "choice"]


def check_tuning(recipe: RecipeSpec, config: SolutionConfig, *, perform_hpo: bool) -> HyperParameterTuning | None:
    """Check the tuning of a solution.

    Without ranges all tunable hyperparameters of the recipe are searched, except those that the solution sets.

    Args:
        recipe: The recipe.
        config: The configuration, whose hyperparameters have been checked.
        perform_hpo: Whether hyperparameters are tuned.

    Returns:
        How hyperparameters are tuned; None when they are not.

    Raises:
        InvalidInput: Something in `hpoConfig` is wrong, or the recipe has nothing to tune.
    """
    hpo_config = config.hpo_config
    if not perform_hpo:
        if config.HasField("hpo_config"):
            raise invalid(_FIELD, got="a configuration", want="none, or performHPO true")
        return None
    tunable = recipe.tunable_parameters
    if not tunable:
        raise invalid("performHPO", got=True, want=f"false: {recipe.name} has no hyperparameter to tune")
    if hpo_config.hpo_objective.ListFields():
        raise not_built(f"{_FIELD}.hpoObjective", got="an objective", want="none, as in Personalize")
    jobs = hpo_config.hpo_resource_config
    trials = _count(jobs, "max_number_of_training_jobs", default=_DEFAULT_TRIALS, maximum=_MAX_TRIALS)
    parallel = _count(jobs, "max_parallel_training_jobs", default=_MAX_PARALLEL, maximum=_MAX_PARALLEL)
    fixed = config.algorithm_hyper_parameters
    ranges = list(_parse_ranges(hpo_config.algorithm_hyper_parameter_ranges, recipe))
    names = [item.name for item in ranges]
    for name in names:
        if name in fixed:
            raise invalid(f"{_RANGES}.{name}", got="a range and a value", want="one of them")
        if names.count(name) > 1:
            raise invalid(f"{_RANGES}.{name}", got="more than one range", want="one")
    chosen = ranges or [_full_range(name, rule) for name, rule in tunable.items() if name not in fixed]
    if not chosen:
        raise invalid("performHPO", got=True, want="false: algorithmHyperParameters sets all that could be tuned")
    return HyperParameterTuning(trials=trials, ranges=chosen, parallel_trials=parallel)


def _count(
    config: HPOResourceConfig,
    field: Literal["max_number_of_training_jobs", "max_parallel_training_jobs"],
    *,
    default: int,
    maximum: int,
) -> int:
    if not config.HasField(field):
        return default
    text: str = getattr(config, field)
    if not (len(text) <= 100 and text.isascii() and text.isdecimal() and 1 <= int(text) <= maximum):
        member = config.DESCRIPTOR.fields_by_name[field].json_name
        raise invalid(f"{_JOBS}.{member}", got=text, want=f"an integer from 1 to {maximum}, as text")
    return int(text)


def _parse_ranges(ranges: HyperParameterRanges, recipe: RecipeSpec) -> Iterator[HyperParameterRange]:
    members: tuple[tuple[str, Kind, Sequence[_AnyRange]], ...] = (
        ("integerHyperParameterRanges", "integer", ranges.integer_hyper_parameter_ranges),
        ("continuousHyperParameterRanges", "float", ranges.continuous_hyper_parameter_ranges),
        ("categoricalHyperParameterRanges", "choice", ranges.categorical_hyper_parameter_ranges),
    )
    for member, kind, entries in members:
        if len(entries) > _MAX_RANGES:
            raise invalid(f"{_RANGES}.{member}", got=f"{len(entries)} ranges", want=f"at most {_MAX_RANGES}")
        for place, entry in enumerate(entries):
            yield _parse_range(entry, kind, recipe, field=f"{_RANGES}.{member}[{place}]")


def _parse_range(entry: _AnyRange, kind: Kind, recipe: RecipeSpec, *, field: str) -> HyperParameterRange:
    name = entry.name
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    rule = recipe.tunable_parameters.get(name)
    if rule is None or _kind(rule) != kind:
        fitting = [parameter_name for parameter_name, of in recipe.tunable_parameters.items() if _kind(of) == kind]
        want = f"one of {', '.join(fitting)}" if fitting else f"none: {recipe.name} tunes no such values"
        raise invalid(f"{field}.name", got=entry.name, want=want)
    if isinstance(entry, CategoricalHyperParameterRange):
        if len(entry.values) > _MAX_RANGES:
            raise invalid(f"{field}.values", got=f"{len(entry.values)} values", want=f"at most {_MAX_RANGES}")
        for value in entry.values:
            _check_value(value, rule, field=f"{field}.values")
        if not entry.values:
            raise invalid(f"{field}.values", got="none", want=rule.want)
        return HyperParameterRange(name=name, kind=kind, values=entry.values)
    full = _full_range(name, rule)
    low = entry.min_value if entry.HasField("min_value") else full.low
    high = entry.max_value if entry.HasField("max_value") else full.high
    for member, limit in (("minValue", low), ("maxValue", high)):
        _check_value(f"{limit:g}", rule, field=f"{field}.{member}")
    if low > high:
        raise InvalidInput(f"`{field}`: got minValue {low:g} above maxValue {high:g}, want it to be at most as large")
    return HyperParameterRange(name=name, kind=kind, low=low, high=high)


def _check_value(text: str, rule: HyperParameter, *, field: str) -> None:
    if not rule.accepts(text):
        raise invalid(field, got=text, want=rule.want)


def _full_range(name: str, rule: HyperParameter) -> HyperParameterRange:
    kind = _kind(rule)
    if kind == "choice":
        return HyperParameterRange(name=name, kind=kind, values=_BOOLEANS if rule.kind == "boolean" else rule.choices)
    assert rule.low is not None, "hyperparameters that are tuned have limits"
    assert rule.high is not None, "hyperparameters that are tuned have limits"
    return HyperParameterRange(name=name, kind=kind, low=rule.low, high=rule.high)


def _kind(rule: HyperParameter) -> Kind:
    kinds: Mapping[str, Kind] = {"integer": "integer", "float": "float", "boolean": "choice", "text": "choice"}
    return kinds[rule.kind]
