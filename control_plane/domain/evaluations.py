"""The verdict of an evaluation, and why campaigns and recommenders reject versions for it."""

from __future__ import annotations

from enum import StrEnum

from protos.tailorbird.storage.v1 import evaluation_pb2

__all__ = ["Verdict", "rejection_reason", "verdict_of"]

_PREFIX = "VERDICT_"


class Verdict(StrEnum):
    """How a version compares with the one before it; the names of the contract's enum without their prefix."""

    BETTER = "BETTER"
    WORSE = "WORSE"
    UNDECIDED = "UNDECIDED"
    NOT_COMPARED = "NOT_COMPARED"


def verdict_of(evaluation: evaluation_pb2.Evaluation | None) -> Verdict | None:
    """Return the verdict in an evaluation; None without a comparison."""
    if evaluation is None or not evaluation.HasField("comparison"):
        return None
    return Verdict(evaluation_pb2.Verdict.Name(evaluation.comparison.verdict).removeprefix(_PREFIX))


def rejection_reason(version_arn: str, comparison: str, *, serving_arn: str, solution_arn: str | None) -> str:
    """Return why a target does not move to a version by itself, and how a person can make a campaign do so.

    Args:
        version_arn: The version, which is significantly worse than the one before it.
        comparison: How it compares with that, in words.
        serving_arn: The version that the target serves instead.
        solution_arn: The solution of both; None for recommenders, which are trained again soon.
    """
    if solution_arn is None:
        return f"refused: {version_arn} is {comparison}. The recommender serves {serving_arn}."
    return (
        f"refused: {version_arn} is {comparison}. The campaign serves {serving_arn}. "
        f"To serve the version nevertheless, call UpdateCampaign with the solutionVersionArn {solution_arn}/$LATEST"
    )
