"""How hyperparameters are tuned (`performHPO` and `solutionConfig.hpoConfig`).

Personalize answers some names with a prefix that requests do not need (`training.bptt` for `bptt`), and its users copy
its answers into requests, so both are taken.
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
#: Trainings when a solution does not say, and at most.
_TRIALS, _MOST_TRIALS, _MOST_PARALLEL = 10, 40, 10
#: Of one kind, and values of one hyperparameter.
_MOST_RANGES: Final = 100
_PREFIXES: Final = ("training.", "data.")
_BOOLEANS: Final = ("true", "false")

Kind = Literal["integer", "float", "choice"]


@dataclass(frozen=True, slots=True)
class TuningRange:
    """The values of one hyperparameter that may be tried.

    Attributes:
        name: Of the hyperparameter.
        kind: Which of the others say what may be tried.
        low: Least value.
        high: Greatest value.
        values: Of a choice, as text.
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
        trials: Trainings that may be tried.
        ranges: What is searched, at least one.
    """

    trials: int
    ranges: tuple[TuningRange, ...]


def check_tuning(recipe: RecipeSpec, config: Mapping[str, Any], *, perform_hpo: bool) -> Tuning | None:
    """Say how a solution's hyperparameters are tuned.

    Without ranges of its own a solution searches all of the recipe's, but for those that it sets.

    Args:
        recipe: The recipe.
        config: `solutionConfig` as Personalize's JSON, whose hyperparameters have been checked.
        perform_hpo: Whether they are to be tuned.

    Returns:
        How; None when they are not.

    Raises:
        InvalidInput: Something in `hpoConfig` is wrong, or the recipe has nothing to tune.
    """
    asked = config.get("hpoConfig")
    if not perform_hpo:
        if asked is not None:
            raise invalid(_FIELD, got="a configuration", want="none, or performHPO true")
        return None
    tunable = recipe.tunable_parameters
    if not tunable:
        raise invalid("performHPO", got=True, want=f"false: {recipe.name} has no hyperparameter to tune")
    asked = asked or {}
    if asked.get("hpoObjective"):
        raise not_built(f"{_FIELD}.hpoObjective", got=asked["hpoObjective"], want="none, as in Personalize")
    jobs = asked.get("hpoResourceConfig", {})
    trials = _count(jobs, "maxNumberOfTrainingJobs", default=_TRIALS, most=_MOST_TRIALS)
    # Trainings of one search run one after another, which is never more than are allowed at a time.
    _count(jobs, "maxParallelTrainingJobs", default=1, most=_MOST_PARALLEL)
    fixed = config.get("algorithmHyperParameters", {})
    ranges = tuple(_asked_ranges(asked.get("algorithmHyperParameterRanges", {}), recipe))
    for name in (item.name for item in ranges):
        if name in fixed:
            raise invalid(f"{_RANGES}.{name}", got="a range and a value", want="one of them")
        if [item.name for item in ranges].count(name) > 1:
            raise invalid(f"{_RANGES}.{name}", got="more than one range", want="one")
    chosen = ranges or tuple(_whole_range(name, rule) for name, rule in tunable.items() if name not in fixed)
    if not chosen:
        raise invalid("performHPO", got=True, want="false: algorithmHyperParameters sets all that could be tuned")
    return Tuning(trials, chosen)


def _count(config: Mapping[str, str], key: str, *, default: int, most: int) -> int:
    text = config.get(key)
    if text is None:
        return default
    if not (len(text) <= 100 and text.isascii() and text.isdecimal() and 1 <= int(text) <= most):
        raise invalid(f"{_JOBS}.{key}", got=text, want=f"an integer from 1 to {most}, as text")
    return int(text)


def _asked_ranges(asked: Mapping[str, Any], recipe: RecipeSpec) -> Iterator[TuningRange]:
    kinds: tuple[tuple[str, Kind], ...] = (
        ("integerHyperParameterRanges", "integer"),
        ("continuousHyperParameterRanges", "float"),
        ("categoricalHyperParameterRanges", "choice"),
    )
    for key, kind in kinds:
        if len(asked.get(key, ())) > _MOST_RANGES:
            raise invalid(f"{_RANGES}.{key}", got=f"{len(asked[key])} ranges", want=f"at most {_MOST_RANGES}")
        for place, entry in enumerate(asked.get(key, ())):
            yield _asked_range(entry, kind, recipe, field=f"{_RANGES}.{key}[{place}]")


def _asked_range(entry: Mapping[str, Any], kind: Kind, recipe: RecipeSpec, *, field: str) -> TuningRange:
    name = entry.get("name", "")
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    rule = recipe.tunable_parameters.get(name)
    if rule is None or _kind(rule) != kind:
        fitting = [known for known, of in recipe.tunable_parameters.items() if _kind(of) == kind]
        want = f"one of {', '.join(fitting)}" if fitting else f"none: {recipe.name} tunes no such values"
        raise invalid(f"{field}.name", got=entry.get("name"), want=want)
    if kind == "choice":
        values = tuple(entry.get("values", ()))
        if len(values) > _MOST_RANGES:
            raise invalid(f"{field}.values", got=f"{len(values)} values", want=f"at most {_MOST_RANGES}")
        for value in values:
            _check(value, rule, field=f"{field}.values")
        if not values:
            raise invalid(f"{field}.values", got="none", want=rule.want)
        return TuningRange(name, kind, values=values)
    whole = _whole_range(name, rule)
    low, high = entry.get("minValue", whole.low), entry.get("maxValue", whole.high)
    for member, value in (("minValue", low), ("maxValue", high)):
        _check(f"{value:g}", rule, field=f"{field}.{member}")
    if low > high:
        raise InvalidInput(f"`{field}`: got minValue {low:g} above maxValue {high:g}, want it to be at most as large")
    return TuningRange(name, kind, float(low), float(high))


def _check(text: str, rule: HyperParameter, *, field: str) -> None:
    if not rule.accepts(text):
        raise invalid(field, got=text, want=rule.want)


def _whole_range(name: str, rule: HyperParameter) -> TuningRange:
    kind = _kind(rule)
    if kind == "choice":
        return TuningRange(name, kind, values=_BOOLEANS if rule.kind == "boolean" else rule.choices)
    assert rule.low is not None, "hyperparameters that are tuned have limits"
    assert rule.high is not None, "hyperparameters that are tuned have limits"
    return TuningRange(name, kind, float(rule.low), float(rule.high))


def _kind(rule: HyperParameter) -> Kind:
    kinds: Mapping[str, Kind] = {"integer": "integer", "float": "float", "boolean": "choice", "text": "choice"}
    return kinds[rule.kind]
