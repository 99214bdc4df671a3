"""What a solution and a solution version may ask for.

Everything that Personalize knows and Tailorbird cannot do yet is refused by name: a setting that is taken and then
ignored would be a wrong answer that looks right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from common.avro import AvroSchema
from common.columns import EVENT_TYPE
from common.errors import invalid
from control_plane.domain.fields import not_built
from control_plane.domain.recipes import RecipeFacts
from control_plane.domain.training_columns import check_training_columns

__all__ = ["check_event_type", "check_event_type_column", "check_solution", "check_training_mode"]

_MAX_EVENT_TYPE: Final = 256
_MAX_PARAMETERS: Final = 100


def check_solution(recipe: RecipeFacts, config: Mapping[str, Any], *, perform_hpo: bool) -> None:
    """Check what a solution asks for beside its recipe.

    Args:
        recipe: The recipe, which can be trained.
        config: `solutionConfig` as Personalize's JSON.
        perform_hpo: Choose hyperparameters by trial.

    Raises:
        InvalidInput: Something in it is wrong, or not built yet.
    """
    if perform_hpo:
        raise not_built("performHPO", got=True, want="false")
    for key, value in config.items():
        if key == "trainingDataConfig":
            check_training_columns(value)
            continue
        check = {
            "algorithmHyperParameters": recipe.check_hyper_parameters,
            "featureTransformationParameters": recipe.check_feature_parameters,
        }.get(key)
        if check is None:
            raise not_built(f"solutionConfig.{key}", got=value, want="parameters and trainingDataConfig only")
        if len(value) > _MAX_PARAMETERS:
            raise invalid(f"solutionConfig.{key}", got=f"{len(value)} entries", want=f"at most {_MAX_PARAMETERS}")
        check(value)


def check_event_type(value: str | None) -> str | None:
    """Return the event type to train on, None for all.

    Raises:
        InvalidInput: Too long, or empty.
    """
    if value is not None and not 1 <= len(value) <= _MAX_EVENT_TYPE:
        raise invalid("eventType", got=value, want=f"1 to {_MAX_EVENT_TYPE} characters, or none for all types")
    return value


def check_event_type_column(event_type: str | None, schema: str) -> None:
    """Make sure that interactions have the column an event type is looked for in.

    Raises:
        InvalidInput: They have not.
    """
    if event_type is not None and AvroSchema.parse(schema).field(EVENT_TYPE) is None:
        raise invalid(
            "eventType", got=event_type, want=f"none: the schema of the Interactions dataset has no {EVENT_TYPE}"
        )


def check_training_mode(value: str | None) -> str:
    """Return how a version is trained, FULL when the caller does not say.

    Raises:
        InvalidInput: No recipe that is built can do it.
    """
    if value not in (None, "FULL"):
        raise invalid("trainingMode", got=value, want="FULL: the solution's recipe knows no other")
    return "FULL"
