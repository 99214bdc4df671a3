"""Operations on campaigns, which serve solution versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import InvalidInput, ResourceInUse, ResourceNotFound, invalid
from control_plane.app_context import AppContext
from control_plane.domain.campaigns import (
    check_campaign_config,
    check_min_provisioned_tps,
    follows_latest,
    split_version_arn,
)
from control_plane.domain.fields import check_name, check_tags
from control_plane.domain.recipes import recipe_of
from control_plane.domain.states import CREATING, DELETING, Status
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Campaign, Deployment, Solution, SolutionVersion
from control_plane.resources.base import (
    Page,
    PageRequest,
    ResourceOperations,
    fetch,
    insert,
    list_page,
    require_active,
)
from control_plane.serving.assignments import deployment_in_progress
from control_plane.serving.latest_version_sync import LatestVersionSync
from control_plane.serving.revisions import next_revision
from protos.tailorbird.control.v1.campaign_pb2 import CampaignConfig

__all__ = ["CampaignView", "Campaigns"]


@dataclass(frozen=True, slots=True)
class CampaignView:
    """A campaign with its deployments, as DescribeCampaign shows it.

    Attributes:
        campaign: The campaign.
        serving: The deployment that it serves, or the first one while it serves none.
        latest_update: The deployment of its latest update; None when it was never updated.
    """

    campaign: Campaign
    serving: Deployment
    latest_update: Deployment | None


class Campaigns(ResourceOperations):
    """Operations on campaigns.

    Args:
        app_context: Clock, ids, ARNs and quotas.
        latest_version_sync: Chooses the version where the request does not.
    """

    def __init__(self, app_context: AppContext, *, latest_version_sync: LatestVersionSync) -> None:
        super().__init__(app_context)
        self._latest_version_sync = latest_version_sync

    def create(
        self,
        unit: Unit,
        name: str,
        *,
        solution_version_arn: str,
        min_provisioned_tps: int | None = None,
        campaign_config: CampaignConfig | None = None,
        tags: Sequence[tuple[str, str]] = (),
    ) -> Campaign:
        """Create a campaign, which becomes ACTIVE when all live runtimes serve the solution version.

        `SOLUTION_ARN/$LATEST` begins with the newest ACTIVE version that is not refused as significantly worse. The
        refused versions are recorded, as they are for campaigns that follow their solution.

        Raises:
            InvalidInput: Something in the request is wrong, or not built yet.
            ResourceNotFound: The version does not exist, or the solution has none that is ACTIVE.
            ResourceAlreadyExists: The name is taken.
            ResourceInUse: The version is not ACTIVE.
            LimitExceeded: The dataset group has as many campaigns as it may.
        """
        check_name("name", name)
        tps = check_min_provisioned_tps(min_provisioned_tps)
        checked_tags = check_tags(tags)
        now = self._now()
        version, refused = self._first_version(unit, solution_version_arn)
        self._check(unit, version, campaign_config, latest=split_version_arn(solution_version_arn)[1])
        campaign = Campaign(
            arn=self._arn(unit, "campaign", name),
            name=name,
            solution_arn=version.solution_arn,
            creation_date_time=now,
            last_updated_date_time=now,
        )
        insert(unit, campaign, tags=checked_tags)
        solutions = unit.find(Solution, dataset_group_arn=version.dataset_group_arn)
        of_group = frozenset(solution.arn for solution in solutions)
        self._check_quota(unit, "campaigns_per_group", Campaign, solution_arn=of_group)
        first = self._add_deployment(unit, campaign, version, tps=tps, config=campaign_config, number=1)
        self._latest_version_sync.record_refused(unit, first, refused, number=2)
        return campaign

    def describe(self, unit: Unit, arn: str) -> CampaignView:
        """Return a campaign; errors as of `fetch`."""
        campaign = fetch(unit, Campaign, arn, field="campaignArn", kind="campaign")
        deployments = unit.find(Deployment, target_arn=arn, order=["number"])
        serving = next((item for item in deployments if item.id == campaign.serving_id), deployments[0])
        newest = deployments[-1]
        return CampaignView(campaign, serving, newest if newest.number > 1 else None)

    def list(self, unit: Unit, request: PageRequest, *, solution_arn: str | None) -> Page[Campaign]:
        """Return a page of the campaigns of a solution, or of all."""
        return list_page(unit, Campaign, request, filters={"solution_arn": solution_arn})

    def update(
        self,
        unit: Unit,
        arn: str,
        *,
        solution_version_arn: str | None = None,
        min_provisioned_tps: int | None = None,
        campaign_config: CampaignConfig | None = None,
    ) -> Campaign:
        """Deploy another version or configuration; what is left out stays as it is.

        `SOLUTION_ARN/$LATEST` means the newest ACTIVE version, whatever its evaluation: this is how a person serves one
        that was refused. An update that makes a campaign follow its solution and names no version deploys the newest
        that is not refused.

        The campaign answers as before until the update is ACTIVE, and when the update fails.

        Raises:
            InvalidInput: The request changes nothing, or something in it is wrong or not built yet.
            ResourceNotFound: Campaign or version do not exist.
            ResourceInUse: The campaign is neither ACTIVE nor CREATE FAILED, or an update is in progress, or the version
                is not ACTIVE.
        """
        if solution_version_arn is None and min_provisioned_tps is None and campaign_config is None:
            raise InvalidInput(
                "`campaignArn`: got it alone, want solutionVersionArn, minProvisionedTPS or campaignConfig beside it"
            )
        campaign = fetch(unit, Campaign, arn, field="campaignArn", kind="campaign")
        if campaign.status not in (Status.ACTIVE, Status.CREATE_FAILED):
            raise ResourceInUse(f"`campaignArn`: got {arn}, which is {campaign.status}, want ACTIVE or CREATE FAILED")
        self._require_no_update(unit, campaign)
        newest = unit.first(Deployment, target_arn=arn, order=["-number"])
        newest_tried = unit.first(Deployment, target_arn=arn, refused=False, order=["-number"])
        current = unit.get(Deployment, campaign.serving_id) if campaign.serving_id else newest_tried
        assert newest is not None
        assert current is not None, "every campaign has a deployment"
        config = current.campaign_config if campaign_config is None else campaign_config
        if solution_version_arn is None:
            version, latest = self._default_version(unit, current, config), True
        else:
            version = _candidate_versions(unit, solution_version_arn)[0]
            latest = split_version_arn(solution_version_arn)[1]
        self._check(unit, version, config, latest=latest)
        tps = current.min_provisioned_tps if min_provisioned_tps is None else min_provisioned_tps
        tps = check_min_provisioned_tps(tps)
        if version.solution_arn != campaign.solution_arn:
            raise invalid("solutionVersionArn", got=solution_version_arn, want=f"a version of {campaign.solution_arn}")
        self._add_deployment(unit, campaign, version, tps=tps, config=config, number=newest.number + 1)
        return campaign

    def delete(self, unit: Unit, arn: str) -> None:
        """Begin to delete a campaign; its row is removed when no live runtime serves it any more.

        Raises:
            ResourceInUse: An update is in progress, or it is being deleted already.
        """
        campaign = fetch(unit, Campaign, arn, field="campaignArn", kind="campaign")
        if campaign.status in DELETING:
            raise ResourceInUse(f"`campaignArn`: got {arn}, which is {campaign.status} already")
        self._require_no_update(unit, campaign)
        campaign.status = Status.DELETE_PENDING
        campaign.last_updated_date_time = self._now()
        campaign.deleted_revision = next_revision(unit)
        for deployment in unit.find(Deployment, target_arn=arn, status=frozenset(CREATING)):
            deployment.status = Status.DELETE_PENDING

    @staticmethod
    def _require_no_update(unit: Unit, campaign: Campaign) -> None:
        running = deployment_in_progress(unit, campaign)
        if running is not None and running.number > 1:
            raise ResourceInUse(f"`campaignArn`: got {campaign.arn}, whose update is {running.status}; await its end")

    def _first_version(self, unit: Unit, arn: str) -> tuple[SolutionVersion, tuple[SolutionVersion, ...]]:
        """Return the version that a new campaign begins with, and the newer ones that it refuses."""
        versions = _candidate_versions(unit, arn)
        if split_version_arn(arn)[1]:
            chosen, refused = self._latest_version_sync.choose(versions)
            if chosen is not None:
                return chosen, refused
        # The request names the version, or all are worse than one that no longer exists.
        return versions[0], ()

    def _default_version(self, unit: Unit, current: Deployment, config: CampaignConfig | None) -> SolutionVersion:
        """Return the version of an update that names none: the current one, or a newer one if it begins to follow."""
        if follows_latest(config) and not follows_latest(current.campaign_config):
            newer = self._latest_version_sync.choose_newer(unit, current).version
            if newer is not None:
                return newer
        version = unit.get(SolutionVersion, current.solution_version_arn)
        assert version is not None, "a foreign key holds it"
        return version

    @staticmethod
    def _check(unit: Unit, version: SolutionVersion, config: CampaignConfig | None, *, latest: bool) -> None:
        """Raise an error if a version or a configuration cannot be served; `latest` as in `check_campaign_config`."""
        require_active(version.status, version.arn, field="solutionVersionArn")
        solution = unit.get(Solution, version.solution_arn)
        assert solution is not None, "a foreign key holds it"
        require_active(solution.status, solution.arn, field="solutionVersionArn")
        recipe = recipe_of(version.recipe_arn)
        assert recipe is not None, "an ACTIVE version has one, also where AutoML chose it"
        check_campaign_config(config or CampaignConfig(), recipe, latest=latest)

    def _add_deployment(
        self,
        unit: Unit,
        campaign: Campaign,
        version: SolutionVersion,
        *,
        tps: int,
        config: CampaignConfig | None,
        number: int,
    ) -> Deployment:
        now = self._now()
        deployment = Deployment(
            id=self._app_context.new_id(),
            target_arn=campaign.arn,
            number=number,
            solution_version_arn=version.arn,
            min_provisioned_tps=tps,
            campaign_config=config,
            creation_date_time=now,
            last_updated_date_time=now,
        )
        unit.add(deployment)
        campaign.last_updated_date_time = now
        next_revision(unit)
        return deployment


def _candidate_versions(unit: Unit, arn: str) -> list[SolutionVersion]:
    """Return the version with an ARN, or, for `SOLUTION_ARN/$LATEST`, all ACTIVE versions, newest first.

    Raises:
        InvalidInput: The text is no ARN of a solution version.
        ResourceNotFound: There is no such version.
    """
    target, latest = split_version_arn(arn)
    if not latest:
        return [fetch(unit, SolutionVersion, target, field="solutionVersionArn", kind="solution")]
    fetch(unit, Solution, target, field="solutionVersionArn", kind="solution")
    newest_first = ["-creation_date_time", "-arn"]
    versions = unit.find(SolutionVersion, solution_arn=target, status=Status.ACTIVE, order=newest_first)
    if not versions:
        raise ResourceNotFound(f"`solutionVersionArn`: got {arn}, a solution without an ACTIVE version")
    return versions
