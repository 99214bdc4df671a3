"""The runtime's contract: recommendations, rankings and actions, filtered, promoted and described as requests say."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from common.positions import Position
from common.recommendation_ids import RecommendationIds
from inference.result import ScoredItems
from inference.used_items import WHOLE_HISTORY, EventWindow
from protos.tailorbird.runtime.v1 import runtime_service_pb2, runtime_service_pb2_grpc
from runtime_service.domain.requests import check_operation
from runtime_service.features.event_offsets import EventOffsets
from runtime_service.features.updater import FeatureUpdater
from runtime_service.history import HistoryReader
from runtime_service.recorded_answers.ring import AnswerRing, RecordedAnswer
from runtime_service.servicers.requests import Request, RequestReader
from runtime_service.serving.catch_up import CatchUp
from runtime_service.serving.deployments import Deployment, DeploymentTable
from runtime_service.serving.recommender import Recommender

__all__ = ["SERVICE", "RuntimeServicer", "add_items"]

SERVICE = runtime_service_pb2.DESCRIPTOR.services_by_name["RuntimeService"]
_Recommendations = runtime_service_pb2.GetRecommendationsResponse
_Ranking = runtime_service_pb2.GetPersonalizedRankingResponse
_ActionList = runtime_service_pb2.GetActionRecommendationsResponse


class RuntimeServicer(runtime_service_pb2_grpc.RuntimeServiceServicer):
    """Turns messages into requests of pipelines, and their results into messages.

    Args:
        table: What is served.
        histories: What users did a moment ago.
        features: What filters and metadata columns read.
        catch_up: Lets requests that name something unknown wait until this worker was told of it; None lets none wait.
        ids: Makes the ids of answers.
        beat: Called with each request: shows that this process lives.
        ring: Takes the answers, for explanations; None for none.
        event_wait_seconds: How long a caller may wait for the log to be read.
        window: How much of what users did counts for filters.
        now: Tells the present moment in seconds since 1970.
    """

    def __init__(
        self,
        table: DeploymentTable,
        histories: HistoryReader,
        *,
        features: FeatureUpdater,
        catch_up: CatchUp | None = None,
        ids: RecommendationIds,
        beat: Callable[[], None],
        ring: AnswerRing | None = None,
        event_wait_seconds: float = 5.0,
        window: EventWindow = WHOLE_HISTORY,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._reader = RequestReader(table, histories, features=features, catch_up=catch_up, window=window, now=now)
        self._recommender = Recommender(histories)
        self._offsets = EventOffsets(histories, features, wait_seconds=event_wait_seconds)
        self._ids = ids
        self._beat = beat
        self._ring = ring
        self._now = now

    async def GetActionRecommendations(
        self, request: runtime_service_pb2.GetActionRecommendationsRequest, context: Any
    ) -> _ActionList:
        """Return the actions that a user is most likely to take, with how likely each is for itself."""
        self._beat()
        deployment = self._reader.find(request.campaign_arn, None)
        check_operation(
            "GetActionRecommendations", campaign_arn=deployment.assignment.campaign_arn, recipe=deployment.model.recipe
        )
        included = await self._offsets.included(context, deployment.assignment.dataset_group_arn)
        query = (await self._reader.read(request, deployment, context)).query
        response = _ActionList(recommendation_id=self._new_id(deployment))
        scored = await self._recommender.recommend(deployment, query, recommendation_id=response.recommendation_id)
        for action_id, score in zip(scored.item_ids, scored.scores, strict=True):
            response.action_list.add(action_id=action_id, score=score)
        self._record(request, response, deployment, included)
        return response

    async def GetPersonalizedRanking(
        self, request: runtime_service_pb2.GetPersonalizedRankingRequest, context: Any
    ) -> _Ranking:
        """Return the given items in the order that fits a user; items that the model does not know come last."""
        self._beat()
        deployment = self._reader.find(request.campaign_arn, None)
        check_operation(
            "GetPersonalizedRanking", campaign_arn=deployment.assignment.campaign_arn, recipe=deployment.model.recipe
        )
        included = await self._offsets.included(context, deployment.assignment.dataset_group_arn)
        query = (await self._reader.read(request, deployment, context)).query
        response = _Ranking(recommendation_id=self._new_id(deployment))
        scored = await self._recommender.recommend(deployment, query, recommendation_id=response.recommendation_id)
        add_items(response.personalized_ranking, scored)
        self._record(request, response, deployment, included)
        return response

    async def GetRecommendations(
        self, request: runtime_service_pb2.GetRecommendationsRequest, context: Any
    ) -> _Recommendations:
        """Return the items that fit a user, or that are similar to an item, best first."""
        self._beat()
        deployment = self._reader.find(request.campaign_arn, request.recommender_arn)
        check_operation(
            "GetRecommendations", campaign_arn=deployment.assignment.campaign_arn, recipe=deployment.model.recipe
        )
        included = await self._offsets.included(context, deployment.assignment.dataset_group_arn)
        query = (await self._reader.read(request, deployment, context)).query
        response = _Recommendations(recommendation_id=self._new_id(deployment))
        scored = await self._recommender.recommend(deployment, query, recommendation_id=response.recommendation_id)
        add_items(response.item_list, scored)
        self._record(request, response, deployment, included)
        return response

    def _new_id(self, deployment: Deployment) -> str:
        return self._ids.make(deployment.assignment.campaign_arn, now=self._now())

    def _record(
        self,
        request: Request,
        response: _Recommendations | _Ranking | _ActionList,
        deployment: Deployment,
        included: Position,
    ) -> None:
        """Record an answer for those who ask for an explanation of it."""
        if self._ring is None:
            return
        assignment = deployment.assignment
        self._ring.record(
            response.recommendation_id,
            RecordedAnswer(
                request.DESCRIPTOR.name.removesuffix("Request"),
                assignment.deployment_id,
                assignment.artifact_location,
                included,
                int(self._now() * 1000),
                request.SerializeToString(),
                response.SerializeToString(),
            ),
        )


def add_items(predicted: Any, scored: ScoredItems) -> None:
    """Write items to a repeated field of `PredictedItem`."""
    add = predicted.add  # adding costs less than making a list first
    for item_id, score in zip(scored.item_ids, scored.scores, strict=True):
        add(item_id=item_id, score=score)
    for place, reason in scored.reasons.items():
        predicted[place].reason.append(reason)
    for place, name in scored.promotions.items():
        predicted[place].promotion_name = name
    for name, values in scored.columns.items():
        for item, value in zip(predicted, values, strict=True):
            item.metadata[name] = value
