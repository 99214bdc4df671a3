"""Moves campaigns that follow their solution, and recommenders, to new versions, except to significantly worse ones."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from common.logs import get_logger
from control_plane.app_context import AppContext
from control_plane.domain.campaigns import follows_latest
from control_plane.domain.evaluations import Verdict, rejection_reason
from control_plane.domain.paging import Position
from control_plane.domain.states import Status
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Deployment, ServingTarget, SolutionVersion
from control_plane.serving.assignments import deployment_in_progress
from control_plane.serving.revisions import next_revision
from control_plane.serving.targets import served_version, successor

__all__ = ["Choice", "LatestVersionSync"]

_log = get_logger(__name__)
#: New versions that are considered at once; the others follow when the target has moved on.
_MAX_VERSIONS = 100


class Choice(NamedTuple):
    """The version chosen among several.

    Attributes:
        version: The newest that is not refused; None when all are refused.
        refused: The refused versions that are newer than it, newest first.
    """

    version: SolutionVersion | None
    refused: tuple[SolutionVersion, ...]


class LatestVersionSync:
    """Chooses the version that a target serves where the caller leaves it open.

    Args:
        app_context: Clock and ids.
        refuse_worse_versions: Refuse versions that are significantly worse than the one before them.
    """

    def __init__(self, app_context: AppContext, *, refuse_worse_versions: bool) -> None:
        self._app_context = app_context
        self._refuse = refuse_worse_versions

    def sync(self, unit: Unit, target: ServingTarget) -> None:
        """Deploy a newer version of an ACTIVE target, within a writing unit, if it follows and there is one.

        This is the newest version that was not tried before: one that could not be loaded, or was refused, is not
        tried again without an update on request.
        """
        serving = unit.get(Deployment, target.serving_id)
        assert serving is not None, "an ACTIVE target has a deployment"
        follows = serving.recommender_config is not None or follows_latest(serving.campaign_config)
        if not follows or deployment_in_progress(unit, target) is not None:
            return
        deployments = unit.find(Deployment, target_arn=target.arn, order=["number"])
        tried = {deployment.solution_version_arn for deployment in deployments}
        choice = self.choose(version for version in self._newer_versions(unit, serving) if version.arn not in tried)
        number = self.record_refused(unit, serving, choice.refused, number=deployments[-1].number + 1)
        if choice.version is not None:
            unit.add(successor(self._app_context, serving, version_arn=choice.version.arn, number=number))
            next_revision(unit)

    def choose(self, versions: Iterable[SolutionVersion]) -> Choice:
        """Return the first version that is not refused, of ACTIVE versions of a solution given newest first."""
        refused: list[SolutionVersion] = []
        for version in versions:
            if not (self._refuse and version.verdict == Verdict.WORSE):
                return Choice(version, tuple(refused))
            refused.append(version)
        return Choice(None, tuple(refused))

    def choose_newer(self, unit: Unit, serving: Deployment) -> Choice:
        """Return the choice among the versions that are newer than that of a deployment."""
        return self.choose(self._newer_versions(unit, serving))

    def record_refused(
        self, unit: Unit, serving: Deployment, refused: Iterable[SolutionVersion], *, number: int
    ) -> int:
        """Add a failed deployment for each version that a target refused, with the reason.

        Args:
            unit: A writing unit of work.
            serving: The deployment that the target serves instead.
            refused: The refused versions.
            number: The next free number of the target's deployments.

        Returns:
            The next free number after that.
        """
        for version in refused:
            deployment = successor(self._app_context, serving, version_arn=version.arn, number=number)
            self._mark_refused(deployment, version, serving)
            unit.add(deployment)
            fields = {"serving_arn": deployment.target_arn, "solution_version_arn": version.arn}
            reason = deployment.failure_reason
            unit.after_commit(partial(_log.warning, "version_refused", **fields, reason=reason))
            number += 1
        return number

    @staticmethod
    def _newer_versions(unit: Unit, serving: Deployment) -> list[SolutionVersion]:
        """Return the ACTIVE versions of the solution that are newer than the served one, newest first."""
        served = served_version(unit, serving)
        after = Position(served.creation_date_time, served.arn)
        newer = unit.page(
            SolutionVersion,
            after=after,
            limit=_MAX_VERSIONS,
            solution_arn=served.solution_arn,
            status=Status.ACTIVE,
        )
        # A recommender's update may have been trained while its schedule still trained what was served before.
        return [item for item in newer[::-1] if not item.of_recommender or _is_trained_like(item, served)]

    @staticmethod
    def _mark_refused(deployment: Deployment, version: SolutionVersion, serving: Deployment) -> None:
        deployment.refused = True
        deployment.status = Status.CREATE_FAILED
        deployment.failure_reason = rejection_reason(
            version.arn,
            "" if version.evaluation is None else version.evaluation.comparison.reason,
            serving_arn=serving.solution_version_arn,
            solution_arn=None if version.of_recommender else version.solution_arn,
        )


def _is_trained_like(version: SolutionVersion, served: SolutionVersion) -> bool:
    return (version.solution_config, version.columns_chosen_at) == (served.solution_config, served.columns_chosen_at)
