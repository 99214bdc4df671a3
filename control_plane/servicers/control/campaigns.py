"""Operations on campaigns."""

from __future__ import annotations

from control_plane.domain.fields import required
from control_plane.metadata_store.tables import Campaign, Deployment
from control_plane.servicers.control.messages import status, timestamp
from control_plane.servicers.control.methods import Context, Methods, optional, page_request, tags_of
from protos.tailorbird.control.v1 import campaign_pb2

__all__ = ["CampaignMethods"]


class CampaignMethods(Methods):
    """Campaigns."""

    def CreateCampaign(
        self, request: campaign_pb2.CreateCampaignRequest, context: Context
    ) -> campaign_pb2.CreateCampaignResponse:
        """Ask for a version to be served."""
        campaign = self._transact(
            request,
            lambda unit: self._resources.campaigns.create(
                unit,
                required("name", request.name),
                solution_version_arn=required("solutionVersionArn", request.solution_version_arn),
                min_provisioned_tps=optional(request, "min_provisioned_tps"),
                campaign_config=optional(request, "campaign_config"),
                tags=tags_of(request),
            ),
        )
        return campaign_pb2.CreateCampaignResponse(campaign_arn=campaign.arn)

    def DescribeCampaign(
        self, request: campaign_pb2.DescribeCampaignRequest, context: Context
    ) -> campaign_pb2.DescribeCampaignResponse:
        """Describe a campaign and its latest update."""
        arn = required("campaignArn", request.campaign_arn)
        view = self._view(request, lambda unit: self._resources.campaigns.describe(unit, arn))
        campaign, serving = view.campaign, view.serving
        return campaign_pb2.DescribeCampaignResponse(
            campaign=campaign_pb2.Campaign(
                name=campaign.name,
                campaign_arn=campaign.arn,
                solution_version_arn=serving.solution_version_arn,
                min_provisioned_tps=serving.min_provisioned_tps,
                campaign_config=serving.campaign_config,
                status=status(campaign.status),
                failure_reason=campaign.failure_reason,
                creation_date_time=timestamp(campaign.creation_date_time),
                last_updated_date_time=timestamp(campaign.last_updated_date_time),
                latest_campaign_update=None if view.latest_update is None else _update_summary(view.latest_update),
            )
        )

    def ListCampaigns(
        self, request: campaign_pb2.ListCampaignsRequest, context: Context
    ) -> campaign_pb2.ListCampaignsResponse:
        """List campaigns."""
        solution = optional(request, "solution_arn")
        page = self._view(
            request, lambda unit: self._resources.campaigns.list(unit, page_request(request), solution_arn=solution)
        )
        return campaign_pb2.ListCampaignsResponse(
            campaigns=[_summary(campaign) for campaign in page.items], next_token=page.next_token
        )

    def UpdateCampaign(
        self, request: campaign_pb2.UpdateCampaignRequest, context: Context
    ) -> campaign_pb2.UpdateCampaignResponse:
        """Ask for another version or configuration to be served."""
        campaign = self._transact(
            request,
            lambda unit: self._resources.campaigns.update(
                unit,
                required("campaignArn", request.campaign_arn),
                solution_version_arn=optional(request, "solution_version_arn"),
                min_provisioned_tps=optional(request, "min_provisioned_tps"),
                campaign_config=optional(request, "campaign_config"),
            ),
        )
        return campaign_pb2.UpdateCampaignResponse(campaign_arn=campaign.arn)

    def DeleteCampaign(
        self, request: campaign_pb2.DeleteCampaignRequest, context: Context
    ) -> campaign_pb2.DeleteCampaignResponse:
        """End the service of a campaign."""
        arn = required("campaignArn", request.campaign_arn)
        self._transact(request, lambda unit: self._resources.campaigns.delete(unit, arn))
        return campaign_pb2.DeleteCampaignResponse()


def _summary(campaign: Campaign) -> campaign_pb2.CampaignSummary:
    return campaign_pb2.CampaignSummary(
        name=campaign.name,
        campaign_arn=campaign.arn,
        status=status(campaign.status),
        creation_date_time=timestamp(campaign.creation_date_time),
        last_updated_date_time=timestamp(campaign.last_updated_date_time),
        failure_reason=campaign.failure_reason,
    )


def _update_summary(deployment: Deployment) -> campaign_pb2.CampaignUpdateSummary:
    return campaign_pb2.CampaignUpdateSummary(
        solution_version_arn=deployment.solution_version_arn,
        min_provisioned_tps=deployment.min_provisioned_tps,
        campaign_config=deployment.campaign_config,
        status=status(deployment.status),
        failure_reason=deployment.failure_reason,
        creation_date_time=timestamp(deployment.creation_date_time),
        last_updated_date_time=timestamp(deployment.last_updated_date_time),
    )
