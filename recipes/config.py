"""Hyperparameters of recipes as they travel in the API: strings to checked values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import FieldViolation, InvalidInput

__all__ = ["RecipeConfig"]

_ALGORITHM = "algorithmHyperParameters"


class RecipeConfig(BaseModel):
    """Hyperparameters of a recipe: Personalize's names, ranges and defaults, then those that are our own.

    Attributes:
        feature_transformation: Names of those that solutions give as `featureTransformationParameters`; the others are
            `algorithmHyperParameters`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    feature_transformation: ClassVar[frozenset[str]] = frozenset()

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
            known = ", ".join(cls.model_fields) or "no hyperparameters"
            violations = []
            for found in error.errors(include_url=False):
                name = ".".join(str(part) for part in found["loc"])
                want = f"one of {known}" if found["type"] == "extra_forbidden" else found["msg"]
                got = name if found["type"] == "extra_forbidden" else found["input"]
                member = "featureTransformationParameters" if name in cls.feature_transformation else _ALGORITHM
                violations.append(FieldViolation(f"{member}.{name}", f"got {got!r}, want {want}"))
            message = "; ".join(f"`{violation.field}`: {violation.description}" for violation in violations)
            raise InvalidInput(message, violations=violations) from error
