"""Hyperparameters of recipes as they travel in the API: strings to checked values, by the ranges of the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import FieldViolation, InvalidInput
from recipes.data.size import DataSize
from recipes.spec import HyperParameter

__all__ = ["RecipeConfig", "hyperparameter"]

_ALGORITHM = "algorithmHyperParameters"


def hyperparameter(parameter: HyperParameter) -> Any:
    """Return the pydantic field of a hyperparameter with its default, range and description."""
    above = parameter.low if parameter.above else None
    return Field(
        default=parameter.default,
        description=parameter.description,
        ge=None if parameter.above else parameter.low,
        gt=above,
        le=parameter.high,
        multiple_of=parameter.step if parameter.step > 1 else None,
    )


class RecipeConfig(BaseModel):
    """Hyperparameters of a recipe: Personalize's names, ranges and defaults, then those that are our own.

    Attributes:
        feature_transformation: Names of those that solutions give as `featureTransformationParameters`; the others are
            `algorithmHyperParameters`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    feature_transformation: ClassVar[frozenset[str]] = frozenset()

    def fit_bytes(self, size: DataSize) -> int:  # noqa: ARG002 - for recipes that take more
        """Return about how much memory a fit takes at its peak, beside the data.

        Args:
            size: What is learnt from.
        """
        return 0

    @classmethod
    def from_hyperparameters(cls, values: Mapping[str, str]) -> Self:
        """Read hyperparameters as they travel in the API, where every value is a string.

        Args:
            values: Those of both kinds together.

        Raises:
            InvalidInput: A name is not one of this recipe's, or a value is out of its range.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            names = ", ".join(cls.model_fields) or "no hyperparameters"
            violations = []
            for problem in error.errors(include_url=False):
                name = ".".join(str(part) for part in problem["loc"])
                is_unknown = problem["type"] == "extra_forbidden"
                want = f"one of {names}" if is_unknown else problem["msg"]
                got = name if is_unknown else problem["input"]
                member = "featureTransformationParameters" if name in cls.feature_transformation else _ALGORITHM
                violations.append(FieldViolation(f"{member}.{name}", f"got {got!r}, want {want}"))
            message = "; ".join(f"`{violation.field}`: {violation.description}" for violation in violations)
            raise InvalidInput(message, violations=violations) from error
