"""Reads and compares evaluations of versions of solutions and recommenders, and who refused a version for its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import ResourceNotFound, invalid
from control_plane.domain.states import Status
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Deployment, Solution, SolutionVersion
from control_plane.resources.base import ResourceOperations, fetch, require_active

__all__ = ["EvaluatedVersion", "Evaluations"]

_FIELD = "solutionVersionArn"
_RECOMMENDER = ":recommender/"
#: How many versions are compared when the request names none.
_DEFAULT_VERSIONS = 5
_MAX_VERSIONS = 20


@dataclass(frozen=True, slots=True)
class EvaluatedVersion:
    """A solution version with its evaluation.

    Attributes:
        version: The version; its row holds the evaluation.
        rejections: The deployments that record that a campaign, or its recommender, refused the version.
    """

    version: SolutionVersion
    rejections: tuple[Deployment, ...]


class Evaluations(ResourceOperations):
    """Operations on evaluations."""

    def get(self, unit: Unit, arn: str) -> EvaluatedVersion:
        """Return the evaluation of a version of a solution or of a recommender.

        Raises:
            InvalidInput: The text is no ARN of such a version.
            ResourceNotFound: There is no such version.
            ResourceInUse: It is not ACTIVE, so it has no evaluation.
        """
        return _evaluated(unit, _version(unit, arn))

    def compare(self, unit: Unit, solution_arn: str, arns: Sequence[str]) -> list[EvaluatedVersion]:
        """Return the evaluations of versions of one solution or recommender, newest first.

        Args:
            unit: A unit of work of the caller's account.
            solution_arn: The solution, or the recommender, whose hidden solution has the same ARN.
            arns: ARNs of the versions, at most 20; empty for the newest five that are ACTIVE.

        Raises:
            InvalidInput: Too many versions, or one of another solution or recommender.
            ResourceNotFound: Solution, recommender or version do not exist, or there is no ACTIVE version.
            ResourceInUse: A version is not ACTIVE.
        """
        if len(arns) > _MAX_VERSIONS:
            raise invalid("solutionVersionArns", got=f"{len(arns)} ARNs", want=f"at most {_MAX_VERSIONS}")
        fetch(unit, Solution, solution_arn, field="solutionArn", kind=_kind_of(solution_arn))
        versions = [_version(unit, arn) for arn in dict.fromkeys(arns)]
        if not arns:
            versions = unit.find(
                SolutionVersion, solution_arn=solution_arn, status=Status.ACTIVE,
                order=["-creation_date_time", "-arn"], limit=_DEFAULT_VERSIONS,
            )  # fmt: skip
            if not versions:
                raise ResourceNotFound(f"`solutionArn`: got {solution_arn}, which has no ACTIVE version")
        for version in versions:
            if version.solution_arn != solution_arn:
                raise invalid("solutionVersionArns", got=version.arn, want=f"versions of {solution_arn}")
        versions.sort(key=lambda version: (version.creation_date_time, version.arn), reverse=True)
        return [_evaluated(unit, version) for version in versions]


def _kind_of(arn: str) -> str:
    """Return the kind of ARN that this one is taken for: that of a recommender, or of a solution."""
    return "recommender" if _RECOMMENDER in arn else "solution"


def _version(unit: Unit, arn: str) -> SolutionVersion:
    version = fetch(unit, SolutionVersion, arn, field=_FIELD, kind=_kind_of(arn))
    require_active(version.status, arn, field=_FIELD)
    return version


def _evaluated(unit: Unit, version: SolutionVersion) -> EvaluatedVersion:
    refused = unit.find(Deployment, solution_version_arn=version.arn, refused=True, order=["creation_date_time"])
    return EvaluatedVersion(version, tuple(refused))
