"""Answers requests from deployments with what this host knows of the moment, and notes what it let users explore."""

from __future__ import annotations

from common.positions import Position
from common.telemetry import span
from inference.request import RecommendationRequest
from inference.result import ScoredItems
from inference.run import PipelineRun
from runtime_service.history import ACTION_INTERACTIONS, HistoryReader
from runtime_service.serving.deployments import Deployment

__all__ = ["Recommender"]


class Recommender:
    """Runs pipelines on the event loop; waits only for a list of trending items that is made anew.

    Args:
        histories: What users did a moment ago.
    """

    def __init__(self, histories: HistoryReader) -> None:
        self._histories = histories

    async def recommend(
        self, deployment: Deployment, request: RecommendationRequest, *, recommendation_id: str
    ) -> ScoredItems:
        """Answer a request.

        Args:
            deployment: What answers.
            request: Its trend, and its recent events where nobody has read them yet, are filled in here, if the recipe
                reads any.
            recommendation_id: Of the answer; events that refer to it count what it lets users explore.
        """
        if request.limit:
            await self._complete(deployment, request)
        with span("pipeline"):
            scored = deployment.pipeline.run(request)
        if item_ids := deployment.pipeline.explored_candidates(scored):
            self._histories.log_impressions(recommendation_id, deployment.assignment.dataset_group_arn, item_ids)
        return scored

    async def trace(
        self, deployment: Deployment, request: RecommendationRequest, *, until: Position | None = None
    ) -> PipelineRun:
        """Answer a request for nobody: nothing is noted.

        Args:
            deployment: What answers.
            request: For one result at least; completed here as in `recommend`.
            until: Events of the user after this are left out; None for no such place.
        """
        await self._complete(deployment, request)
        if until is not None:
            request.recent = None if request.recent is None else request.recent.up_to(until)
            actions = request.recent_actions
            request.recent_actions = None if actions is None else actions.up_to(until)
        return deployment.pipeline.trace(request)

    async def _complete(self, deployment: Deployment, request: RecommendationRequest) -> None:
        group = deployment.assignment.dataset_group_arn
        if deployment.trending_list is not None:
            request.trend = await deployment.trending_list.current(self._histories)
        elif deployment.pipeline.needs_user and request.recent is None:
            request.recent = self._histories.find(group, request.user_id)
        if deployment.model.action_ids and request.recent_actions is None:
            request.recent_actions = self._histories.find(group, request.user_id, dataset_type=ACTION_INTERACTIONS)
