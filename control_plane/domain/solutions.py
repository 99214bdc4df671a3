"""What a solution and a solution version may ask for.

Everything that Personalize knows and Tailorbird cannot do yet is refused by name: a setting that is taken and then
ignored would be a wrong answer that looks right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from common.errors import invalid
from control_plane.domain.events import check_events, event_rules
from control_plane.domain.fields import not_built
from control_plane.domain.objectives import check_objective
from control_plane.domain.recipes import check_feature_parameters, check_hyper_parameters
from control_plane.domain.training_columns import check_training_columns
from control_plane.domain.tuning import check_tuning
from recipes.spec import RecipeKind, RecipeSpec

__all__ = ["check_solution", "check_training_mode"]

_MAX_PARAMETERS: Final = 100
#: Members that have a check of their own.
_CHECKED: Final = frozenset(
    {"eventValueThreshold", "eventsConfig", "hpoConfig", "optimizationObjective", "trainingDataConfig"}
)


def check_solution(
    recipe: RecipeSpec, config: Mapping[str, Any], *, perform_hpo: bool, event_type: str | None = None
) -> None:
    """Check what a solution asks for beside its recipe.

    Args:
        recipe: The recipe, which can be trained.
        config: `solutionConfig` as Personalize's JSON.
        perform_hpo: Choose hyperparameters by trial.
        event_type: The only type to train on, checked; None for all.

    Raises:
        InvalidInput: Something in it is wrong, or not built yet.
    """
    check_events(
        config, event_type=event_type, weighs_events="eventsConfig" in recipe.solution_options, recipe=recipe.name
    )
    if recipe.kind is RecipeKind.TRENDING_ITEMS and any(rule.least_value is not None for rule in event_rules(config)):
        want = f"none: {recipe.name} counts events as they come, whatever their values"
        raise invalid("solutionConfig.eventValueThreshold", got=config.get("eventValueThreshold"), want=want)
    if "optimizationObjective" in config:
        takes_objective = "optimizationObjective" in recipe.solution_options
        check_objective(config["optimizationObjective"], takes_objective=takes_objective, recipe=recipe.name)
    if "trainingDataConfig" in config:
        check_training_columns(config["trainingDataConfig"])
    for key, value in config.items():
        if key in _CHECKED:
            continue
        check = {
            "algorithmHyperParameters": check_hyper_parameters,
            "featureTransformationParameters": check_feature_parameters,
        }.get(key)
        if check is None:
            raise not_built(f"solutionConfig.{key}", got=value, want="parameters and trainingDataConfig only")
        if len(value) > _MAX_PARAMETERS:
            raise invalid(f"solutionConfig.{key}", got=f"{len(value)} entries", want=f"at most {_MAX_PARAMETERS}")
        check(recipe, value)
    check_tuning(recipe, config, perform_hpo=perform_hpo)


def check_training_mode(value: str | None, recipe: RecipeSpec) -> str:
    """Return how a version is trained, FULL when the caller does not say.

    Raises:
        InvalidInput: The recipe cannot do it.
    """
    mode = value or "FULL"
    if mode == "UPDATE" and "UPDATE" not in recipe.solution_options:
        raise invalid("trainingMode", got=value, want=f"FULL: {recipe.name} knows no other")
    if mode not in ("FULL", "UPDATE"):
        raise invalid("trainingMode", got=value, want="FULL or UPDATE")
    return mode
