"""What an evaluation means for what is served."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

__all__ = ["Verdict", "refusal", "verdict_of"]

_PREFIX = "VERDICT_"


class Verdict(StrEnum):
    """A version beside its predecessor; the values of the contract's enum without their prefix."""

    BETTER = "BETTER"
    WORSE = "WORSE"
    UNDECIDED = "UNDECIDED"
    NOT_COMPARED = "NOT_COMPARED"


def verdict_of(evaluation: Mapping[str, Any] | None) -> Verdict | None:
    """Return the verdict in an evaluation, keyed like the contract's message; None without a comparison."""
    compared = (evaluation or {}).get("comparison")
    return None if compared is None else Verdict(compared["verdict"].removeprefix(_PREFIX))


def refusal(version_arn: str, evaluation: Mapping[str, Any], *, serving_arn: str, solution_arn: str) -> str:
    """Say why a campaign does not take a version by itself, and how it can be made to serve it nevertheless.

    Args:
        version_arn: The version, which is significantly worse than its predecessor.
        evaluation: What was measured of it.
        serving_arn: The version that the campaign serves instead.
        solution_arn: The solution of both.
    """
    return (
        f"refused: {version_arn} is {evaluation['comparison']['reason']}. The campaign serves {serving_arn}. "
        f"To serve the version nevertheless, call UpdateCampaign with the solutionVersionArn {solution_arn}/$LATEST"
    )
