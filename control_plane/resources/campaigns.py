"""Campaigns: solution versions in service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.arn import Arn
from common.errors import InvalidInput, ResourceInUse, ResourceNotFound, invalid
from control_plane.catalogue import Unit
from control_plane.catalogue.tables import Campaign, Deployment, Solution, SolutionVersion
from control_plane.domain.campaigns import (
    LATEST,
    check_campaign_config,
    check_min_provisioned_tps,
    follows_latest,
    split_version_arn,
)
from control_plane.domain.fields import check_name, check_tags
from control_plane.domain.recipes import RECIPES
from control_plane.domain.states import CREATING, DELETING, Status
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
from control_plane.serving.revisions import next_revision

__all__ = ["CampaignView", "Campaigns"]

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CampaignView:
    """A campaign with what it serves and its latest update, if it was ever updated."""

    campaign: Campaign
    serving: Deployment
    latest_update: Deployment | None


class Campaigns(ResourceOperations):
    """Operations on campaigns."""

    def create(
        self,
        name: str,
        *,
        solution_version_arn: str,
        min_provisioned_tps: int | None = None,
        campaign_config: Config | None = None,
        tags: Sequence[tuple[str, str]] = (),
    ) -> Campaign:
        """Ask the runtimes to serve a solution version; the campaign is ACTIVE when all live ones do.

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
        with self._catalogue.write() as unit:
            version = self._version(unit, solution_version_arn, campaign_config)
            campaign = Campaign(
                arn=self._arn("campaign", name),
                name=name,
                solution_arn=version.solution_arn,
                creation_date_time=now,
                last_updated_date_time=now,
            )
            insert(unit, campaign, tags=checked_tags)
            solutions = unit.find(Solution, dataset_group_arn=version.dataset_group_arn)
            used = unit.count(Campaign, solution_arn=frozenset(solution.arn for solution in solutions)) - 1
            self._environment.quotas.check("campaigns_per_group", used=used)
            self._deploy(unit, campaign, version, tps=tps, config=campaign_config, number=1)
        return campaign

    def describe(self, arn: str) -> CampaignView:
        """Return a campaign; errors as of `fetch`."""
        with self._catalogue.read() as unit:
            campaign = fetch(unit, Campaign, arn, field="campaignArn", kind="campaign")
            deployments = unit.find(Deployment, campaign_arn=arn, order=["number"])
            serving = next((item for item in deployments if item.id == campaign.serving_id), deployments[0])
            newest = deployments[-1]
            return CampaignView(campaign, serving, newest if newest.number > 1 else None)

    def list(self, request: PageRequest, *, solution_arn: str | None) -> Page[Campaign]:
        """Return a page of the campaigns of a solution, or of all."""
        return list_page(self._catalogue, Campaign, request, filters={"solution_arn": solution_arn})

    def update(
        self,
        arn: str,
        *,
        solution_version_arn: str | None = None,
        min_provisioned_tps: int | None = None,
        campaign_config: Config | None = None,
    ) -> Campaign:
        """Ask the runtimes to serve another version or configuration; what is left out stays as it is.

        The campaign goes on answering as before until the update is ACTIVE, and when the update fails.

        Raises:
            InvalidInput: Nothing is to be changed, or something is wrong or not built yet.
            ResourceNotFound: Campaign or version do not exist.
            ResourceInUse: The campaign is neither ACTIVE nor CREATE FAILED, or an update is in progress, or the version
                is not ACTIVE.
        """
        if solution_version_arn is None and min_provisioned_tps is None and campaign_config is None:
            raise InvalidInput(
                "`campaignArn`: got it alone, want solutionVersionArn, minProvisionedTPS or campaignConfig beside it"
            )
        with self._catalogue.write() as unit:
            campaign = fetch(unit, Campaign, arn, field="campaignArn", kind="campaign")
            if campaign.status not in (Status.ACTIVE, Status.CREATE_FAILED):
                raise ResourceInUse(
                    f"`campaignArn`: got {arn}, which is {campaign.status}, want ACTIVE or CREATE FAILED"
                )
            self._require_no_update(unit, campaign)
            newest = unit.first(Deployment, campaign_arn=arn, order=["-number"])
            before = unit.get(Deployment, campaign.serving_id) if campaign.serving_id else newest
            assert newest is not None
            assert before is not None, "every campaign has a deployment"
            config = before.campaign_config if campaign_config is None else campaign_config
            follows_already = follows_latest(before.campaign_config)
            wanted = solution_version_arn or self._unchanged(campaign, before, config)
            version = self._version(unit, wanted, config, follows_already=follows_already and not solution_version_arn)
            tps = before.min_provisioned_tps if min_provisioned_tps is None else min_provisioned_tps
            tps = check_min_provisioned_tps(tps)
            if version.solution_arn != campaign.solution_arn:
                raise invalid("solutionVersionArn", got=wanted, want=f"a version of {campaign.solution_arn}")
            self._deploy(unit, campaign, version, tps=tps, config=config, number=newest.number + 1)
        return campaign

    def delete(self, arn: str) -> None:
        """Begin to delete a campaign; it is gone when no live runtime serves it any more.

        Raises:
            ResourceInUse: An update is in progress, or it is being deleted already.
        """
        with self._catalogue.write() as unit:
            campaign = fetch(unit, Campaign, arn, field="campaignArn", kind="campaign")
            if campaign.status in DELETING:
                raise ResourceInUse(f"`campaignArn`: got {arn}, which is {campaign.status} already")
            self._require_no_update(unit, campaign)
            campaign.status = Status.DELETE_PENDING
            campaign.last_updated_date_time = self._now()
            campaign.deleted_revision = next_revision(unit)
            for deployment in unit.find(Deployment, campaign_arn=arn, status=frozenset(CREATING)):
                deployment.status = Status.DELETE_PENDING

    @staticmethod
    def _unchanged(campaign: Campaign, before: Deployment, config: Config | None) -> str:
        # One that follows already keeps its version, and moves on as it would have: the newest may have been refused.
        begins_to_follow = follows_latest(config) and not follows_latest(before.campaign_config)
        return f"{campaign.solution_arn}/{LATEST}" if begins_to_follow else before.solution_version_arn

    @staticmethod
    def _require_no_update(unit: Unit, campaign: Campaign) -> None:
        running = deployment_in_progress(unit, campaign)
        if running is not None and running.number > 1:
            raise ResourceInUse(f"`campaignArn`: got {campaign.arn}, whose update is {running.status}; await its end")

    @staticmethod
    def _version(unit: Unit, arn: str, config: Config | None, *, follows_already: bool = False) -> SolutionVersion:
        """Return the version that is asked for, once it and the configuration are found fit."""
        target, latest = split_version_arn(arn)
        if latest:
            fetch(unit, Solution, target, field="solutionVersionArn", kind="solution")
            newest = unit.first(
                SolutionVersion, solution_arn=target, status=Status.ACTIVE, order=["-creation_date_time", "-arn"]
            )
            if newest is None:
                raise ResourceNotFound(f"`solutionVersionArn`: got {arn}, a solution without an ACTIVE version")
            version = newest
        else:
            version = fetch(unit, SolutionVersion, target, field="solutionVersionArn", kind="solution")
            require_active(version.status, version.arn, field="solutionVersionArn")
        solution = unit.get(Solution, version.solution_arn)
        assert solution is not None, "a foreign key holds it"
        require_active(solution.status, solution.arn, field="solutionVersionArn")
        recipe = RECIPES[Arn.parse(version.recipe_arn, field="recipeArn").name]
        check_campaign_config(config or {}, recipe, latest=latest or follows_already)
        return version

    def _deploy(
        self, unit: Unit, campaign: Campaign, version: SolutionVersion, *, tps: int, config: Config | None, number: int
    ) -> None:
        now = self._now()
        unit.add(
            Deployment(
                id=self._environment.new_id(),
                campaign_arn=campaign.arn,
                number=number,
                solution_version_arn=version.arn,
                min_provisioned_tps=tps,
                campaign_config=None if config is None else dict(config),
                creation_date_time=now,
                last_updated_date_time=now,
            )
        )
        campaign.last_updated_date_time = now
        next_revision(unit)
