"""Tuning of hyperparameters (`performHPO` and `solutionConfig.hpoConfig`).

Personalize shows some names with a prefix that requests do not need (`training.bptt` for `bptt`). Users copy them from
its responses into requests, so both forms are accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from common.errors import InvalidInput, invalid
from control_plane.domain.fields import not_built
from recipes.spec import HyperParameter, RecipeSpec

__all__ = ["Tuning", "TuningRange", "check_tuning"]

_FIELD: Final = "solutionConfig.hpoConfig"
_RANGES: Final = f"{_FIELD}.algorithmHyperParameterRanges"
_JOBS: Final = f"{_FIELD}.hpoResourceConfig"
#: Trainings when `hpoConfig` does not say, and at most; parallel trainings at most.
_DEFAULT_TRIALS, _MAX_TRIALS, _MAX_PARALLEL = 10, 40, 10
#: Most ranges of one kind, and most values of one categorical range.
_MAX_RANGES: Final = 100
_PREFIXES: Final = ("training.", "data.")
_BOOLEANS: Final = ("true", "false")

Kind = Literal["integer", "float", "choice"]


@dataclass(frozen=True, slots=True)
class TuningRange:
    """The values of one hyperparameter that may be tried.

    Attributes:
        name: Name of the hyperparameter.
        kind: `integer` and `float` have `low` and `high`, `choice` has `values`.
        low: Least value; None for a choice.
        high: Greatest value; None for a choice.
        values: The values of a choice, as text; else empty.
    """

    name: str
    kind: Kind
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tuning:
    """A search for better hyperparameters.

    Attributes:
        trials: Number of trainings.
        ranges: The ranges that are searched, at least one.
    """

    trials: int
    ranges: tuple[TuningRange, ...]


def check_tuning(recipe: RecipeSpec, config: Mapping[str, Any], *, perform_hpo: bool) -> Tuning | None:
    """Check the tuning of a solution.

    Without ranges all tunable hyperparameters of the recipe are searched, except those that the solution sets.

    Args:
        recipe: The recipe.
        config: `solutionConfig` as Personalize's JSON, whose hyperparameters have been checked.
        perform_hpo: Whether hyperparameters are tuned.

    Returns:
        How hyperparameters are tuned; None when they are not.

    Raises:
        InvalidInput: Something in `hpoConfig` is wrong, or the recipe has nothing to tune.
    """
    hpo_config = config.get("hpoConfig")
    if not perform_hpo:
        if hpo_config is not None:
            raise invalid(_FIELD, got="a configuration", want="none, or performHPO true")
        return None
    tunable = recipe.tunable_parameters
    if not tunable:
        raise invalid("performHPO", got=True, want=f"false: {recipe.name} has no hyperparameter to tune")
    hpo_config = hpo_config or {}
    if hpo_config.get("hpoObjective"):
        raise not_built(f"{_FIELD}.hpoObjective", got=hpo_config["hpoObjective"], want="none, as in Personalize")
    jobs = hpo_config.get("hpoResourceConfig", {})
    trials = _count(jobs, "maxNumberOfTrainingJobs", default=_DEFAULT_TRIALS, maximum=_MAX_TRIALS)
    # Only checked: the trainings of one search run one after another.
    _count(jobs, "maxParallelTrainingJobs", default=1, maximum=_MAX_PARALLEL)
    fixed = config.get("algorithmHyperParameters", {})
    ranges = tuple(_parse_ranges(hpo_config.get("algorithmHyperParameterRanges", {}), recipe))
    for name in (item.name for item in ranges):
        if name in fixed:
            raise invalid(f"{_RANGES}.{name}", got="a range and a value", want="one of them")
        if [item.name for item in ranges].count(name) > 1:
            raise invalid(f"{_RANGES}.{name}", got="more than one range", want="one")
    chosen = ranges or tuple(_full_range(name, rule) for name, rule in tunable.items() if name not in fixed)
    if not chosen:
        raise invalid("performHPO", got=True, want="false: algorithmHyperParameters sets all that could be tuned")
    return Tuning(trials, chosen)


def _count(config: Mapping[str, str], key: str, *, default: int, maximum: int) -> int:
    text = config.get(key)
    if text is None:
        return default
    if not (len(text) <= 100 and text.isascii() and text.isdecimal() and 1 <= int(text) <= maximum):
        raise invalid(f"{_JOBS}.{key}", got=text, want=f"an integer from 1 to {maximum}, as text")
    return int(text)


def _parse_ranges(ranges: Mapping[str, Any], recipe: RecipeSpec) -> Iterator[TuningRange]:
    kinds: tuple[tuple[str, Kind], ...] = (
        ("integerHyperParameterRanges", "integer"),
        ("continuousHyperParameterRanges", "float"),
        ("categoricalHyperParameterRanges", "choice"),
    )
    for key, kind in kinds:
        if len(ranges.get(key, ())) > _MAX_RANGES:
            raise invalid(f"{_RANGES}.{key}", got=f"{len(ranges[key])} ranges", want=f"at most {_MAX_RANGES}")
        for place, entry in enumerate(ranges.get(key, ())):
            yield _parse_range(entry, kind, recipe, field=f"{_RANGES}.{key}[{place}]")


def _parse_range(entry: Mapping[str, Any], kind: Kind, recipe: RecipeSpec, *, field: str) -> TuningRange:
    name = entry.get("name", "")
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    rule = recipe.tunable_parameters.get(name)
    if rule is None or _kind(rule) != kind:
        fitting = [parameter_name for parameter_name, of in recipe.tunable_parameters.items() if _kind(of) == kind]
        want = f"one of {', '.join(fitting)}" if fitting else f"none: {recipe.name} tunes no such values"
        raise invalid(f"{field}.name", got=entry.get("name"), want=want)
    if kind == "choice":
        values = tuple(entry.get("values", ()))
        if len(values) > _MAX_RANGES:
            raise invalid(f"{field}.values", got=f"{len(values)} values", want=f"at most {_MAX_RANGES}")
        for value in values:
            _check_value(value, rule, field=f"{field}.values")
        if not values:
            raise invalid(f"{field}.values", got="none", want=rule.want)
        return TuningRange(name, kind, values=values)
    full = _full_range(name, rule)
    low, high = entry.get("minValue", full.low), entry.get("maxValue", full.high)
    for member, value in (("minValue", low), ("maxValue", high)):
        _check_value(f"{value:g}", rule, field=f"{field}.{member}")
    if low > high:
        raise InvalidInput(f"`{field}`: got minValue {low:g} above maxValue {high:g}, want it to be at most as large")
    return TuningRange(name, kind, float(low), float(high))


def _check_value(text: str, rule: HyperParameter, *, field: str) -> None:
    if not rule.accepts(text):
        raise invalid(field, got=text, want=rule.want)


def _full_range(name: str, rule: HyperParameter) -> TuningRange:
    kind = _kind(rule)
    if kind == "choice":
        return TuningRange(name, kind, values=_BOOLEANS if rule.kind == "boolean" else rule.choices)
    assert rule.low is not None, "hyperparameters that are tuned have limits"
    assert rule.high is not None, "hyperparameters that are tuned have limits"
    return TuningRange(name, kind, float(rule.low), float(rule.high))


def _kind(rule: HyperParameter) -> Kind:
    kinds: Mapping[str, Kind] = {"integer": "integer", "float": "float", "boolean": "choice", "text": "choice"}
    return kinds[rule.kind]
