"""The newest version that campaigns take by themselves: none that is significantly worse than the one before it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from common.logs import get_logger
from control_plane.app_context import AppContext
from control_plane.domain.campaigns import follows_latest
from control_plane.domain.evaluations import Verdict, refusal
from control_plane.domain.paging import Position
from control_plane.domain.states import Status
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Campaign, Deployment, SolutionVersion
from control_plane.serving.assignments import deployment_in_progress
from control_plane.serving.revisions import next_revision

__all__ = ["Choice", "LatestVersionSync"]

_log = get_logger(__name__)
#: New versions that are looked at once; the others have their turn when the campaign has moved on.
_LOOKED_AT = 100


class Choice(NamedTuple):
    """What is taken of some versions.

    Attributes:
        version: The newest that is not refused; None where all are.
        refused: Those that are newer, newest first.
    """

    version: SolutionVersion | None
    refused: tuple[SolutionVersion, ...]


class LatestVersionSync:
    """Chooses versions, and moves campaigns that follow their solution to new ones.

    Args:
        environment: Clock and ids.
        refuse_worse_versions: Leave out versions that are significantly worse than the one before them.
    """

    def __init__(self, environment: AppContext, *, refuse_worse_versions: bool) -> None:
        self._environment = environment
        self._refuse = refuse_worse_versions

    def follow(self, unit: Unit, campaign: Campaign) -> None:
        """Move an ACTIVE campaign on, within a writing unit, if it follows and there is something new to serve.

        Of the versions that are newer than the one it serves the newest is taken that was not tried before: one that
        could not be loaded, or was refused, is not tried again by itself.
        """
        serving = unit.get(Deployment, campaign.serving_id)
        assert serving is not None, "an ACTIVE campaign has a deployment"
        if not follows_latest(serving.campaign_config) or deployment_in_progress(unit, campaign) is not None:
            return
        deployments = unit.find(Deployment, campaign_arn=campaign.arn, order=["number"])
        tried = {deployment.solution_version_arn for deployment in deployments}
        choice = self.choose(version for version in self._newer(unit, serving) if version.arn not in tried)
        number = self.record(unit, serving, choice.refused, number=deployments[-1].number + 1)
        if choice.version is not None:
            unit.add(self._deployment(serving, choice.version, number=number))
            next_revision(unit)

    def choose(self, versions: Iterable[SolutionVersion]) -> Choice:
        """Choose of ACTIVE versions of a solution, given newest first."""
        refused: list[SolutionVersion] = []
        for version in versions:
            if not (self._refuse and version.verdict == Verdict.WORSE):
                return Choice(version, tuple(refused))
            refused.append(version)
        return Choice(None, tuple(refused))

    def choose_newer(self, unit: Unit, serving: Deployment) -> Choice:
        """Choose of the versions that are newer than the one of a deployment."""
        return self.choose(self._newer(unit, serving))

    def record(self, unit: Unit, serving: Deployment, refused: Iterable[SolutionVersion], *, number: int) -> int:
        """Keep, within a writing unit, that a campaign refused versions, and why.

        Args:
            unit: To write in.
            serving: What the campaign serves instead.
            refused: The versions.
            number: The next that is free among the campaign's deployments.

        Returns:
            The next number that is free then.
        """
        for version in refused:
            deployment = self._deployment(serving, version, number=number)
            self._mark_refused(deployment, version, serving)
            unit.add(deployment)
            number += 1
        return number

    @staticmethod
    def _newer(unit: Unit, serving: Deployment) -> list[SolutionVersion]:
        """Return the ACTIVE versions that are newer than the one that is served, newest first."""
        served = unit.get(SolutionVersion, serving.solution_version_arn)
        assert served is not None, "a foreign key holds it"
        after = Position(served.creation_date_time, served.arn)
        newer = unit.page(
            SolutionVersion,
            after=after,
            limit=_LOOKED_AT,
            solution_arn=served.solution_arn,
            status=Status.ACTIVE,
        )
        return newer[::-1]

    def _deployment(self, serving: Deployment, version: SolutionVersion, *, number: int) -> Deployment:
        now = self._now()
        return Deployment(
            id=self._environment.new_id(),
            campaign_arn=serving.campaign_arn,
            number=number,
            solution_version_arn=version.arn,
            min_provisioned_tps=serving.min_provisioned_tps,
            campaign_config=serving.campaign_config,
            creation_date_time=now,
            last_updated_date_time=now,
        )

    @staticmethod
    def _mark_refused(deployment: Deployment, version: SolutionVersion, serving: Deployment) -> None:
        deployment.refused = True
        deployment.status = Status.CREATE_FAILED
        deployment.failure_reason = refusal(
            version.arn,
            version.evaluation or {},
            serving_arn=serving.solution_version_arn,
            solution_arn=version.solution_arn,
        )
        _log.warning(
            "version_refused",
            campaign_arn=deployment.campaign_arn,
            solution_version_arn=version.arn,
            reason=deployment.failure_reason,
        )

    def _now(self) -> datetime:
        return self._environment.clock.now()
