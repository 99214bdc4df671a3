"""The runtime's contract: recommendations, rankings and actions, filtered, promoted and described as requests say."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from common.arn import account_of
from common.auth import current_caller
from common.filters import Target
from common.recommendation_ids import RecommendationIds
from inference.candidates import ItemList
from inference.pipelines import Pipeline
from inference.request import Promotion, RecommendationRequest
from inference.result import ScoredItems
from protos.tailorbird.runtime.v1 import runtime_service_pb2, runtime_service_pb2_grpc
from recipes.data.histories import ItemIndexes
from runtime_service.domain.filters import (
    MAX_RESULTS_WITH_METADATA,
    WHOLE_HISTORY,
    EventWindow,
    FilterChoice,
    SentPromotion,
    check_metadata,
    check_promotions,
)
from runtime_service.domain.requests import (
    DEFAULT_ACTIONS,
    MAX_ACTIONS,
    MAX_RANKED,
    MAX_RESULTS,
    check_context,
    check_item,
    check_items,
    check_operation,
    check_user,
    requested_results,
    served_arn,
    unknown_target,
    unserved_target,
)
from runtime_service.features.event_offsets import EventOffsets
from runtime_service.features.request_filters import RequestFilters, Situation
from runtime_service.features.updater import FeatureUpdater
from runtime_service.history import HistoryReader
from runtime_service.serving.deployments import Deployment, DeploymentTable
from runtime_service.serving.recommender import Recommender

__all__ = ["SERVICE", "RuntimeServicer", "add_items"]

SERVICE = runtime_service_pb2.DESCRIPTOR.services_by_name["RuntimeService"]
_Request = (
    runtime_service_pb2.GetRecommendationsRequest
    | runtime_service_pb2.GetPersonalizedRankingRequest
    | runtime_service_pb2.GetActionRecommendationsRequest
)
_Recommendations = runtime_service_pb2.GetRecommendationsResponse
_Ranking = runtime_service_pb2.GetPersonalizedRankingResponse
_ActionList = runtime_service_pb2.GetActionRecommendationsResponse


class RuntimeServicer(runtime_service_pb2_grpc.RuntimeServiceServicer):
    """Turns messages into requests of pipelines, and their results into messages.

    Args:
        table: What is served.
        histories: What users did a moment ago.
        features: What filters and metadata columns read.
        ids: Makes the ids of answers.
        beat: Called with each request: shows that this process lives.
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
        ids: RecommendationIds,
        beat: Callable[[], None],
        event_wait_seconds: float = 5.0,
        window: EventWindow = WHOLE_HISTORY,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._recommender = Recommender(histories)
        self._filters = RequestFilters(features, histories, window=window)
        self._features = features
        self._offsets = EventOffsets(histories, features, wait_seconds=event_wait_seconds)
        self._ids = ids
        self._beat = beat
        self._now = now

    async def GetActionRecommendations(
        self,
        request: runtime_service_pb2.GetActionRecommendationsRequest,
        context: Any,
    ) -> _ActionList:
        """Return the actions that a user is most likely to take, with how likely each is for itself."""
        deployment = self._find(request, "GetActionRecommendations")
        await self._offsets.included(context)
        count = request.num_results if request.HasField("num_results") else None
        limit = requested_results(count, default=DEFAULT_ACTIONS, most=MAX_ACTIONS)
        user_id = check_user(request.user_id, required=deployment.pipeline.needs_user)
        query = RecommendationRequest(limit, user_id=user_id, now=self._now())
        if (choice := FilterChoice.of(request.filter_arn, request.filter_values)) is not None:
            situation = Situation(deployment, Target.ACTION, user_id)
            query.candidates = (await self._filters.passing(choice, situation)).candidates()
        response = _ActionList(recommendation_id=self._new_id(deployment))
        scored = await self._recommender.recommend(deployment, query, recommendation_id=response.recommendation_id)
        for action_id, score in zip(scored.item_ids, scored.scores, strict=True):
            response.action_list.add(action_id=action_id, score=score)
        return response

    async def GetPersonalizedRanking(
        self,
        request: runtime_service_pb2.GetPersonalizedRankingRequest,
        context: Any,
    ) -> _Ranking:
        """Return the given items in the order that fits a user; items that the model does not know come last."""
        deployment = self._find(request, "GetPersonalizedRanking")
        await self._offsets.included(context)
        pipeline, columns = deployment.pipeline, await self._columns(request.metadata_columns, deployment)
        item_ids = check_items(request.input_list, most=MAX_RESULTS_WITH_METADATA if columns else MAX_RANKED)
        user_id = check_user(request.user_id, required=pipeline.needs_user)
        listed = ItemList.of_ids(item_ids, pipeline.model.items, new=pipeline.model.new_items.described_index)
        if (choice := FilterChoice.of(request.filter_arn, request.filter_values)) is not None:
            situation = Situation(deployment, Target.ITEM, user_id, listed=listed)
            listed = self._filters.keep(await self._filters.passing(choice, situation), situation)
        query = RecommendationRequest(
            len(item_ids),
            user_id=user_id,
            context=_context(request.context, pipeline),
            candidates=listed,
            columns=columns,
        )
        response = _Ranking(recommendation_id=self._new_id(deployment))
        scored = await self._recommender.recommend(deployment, query, recommendation_id=response.recommendation_id)
        add_items(response.personalized_ranking, scored)
        return response

    async def GetRecommendations(
        self,
        request: runtime_service_pb2.GetRecommendationsRequest,
        context: Any,
    ) -> _Recommendations:
        """Return the items that fit a user, or that are similar to an item, best first."""
        deployment = self._find(request, "GetRecommendations")
        await self._offsets.included(context)
        pipeline = deployment.pipeline
        columns = await self._columns(request.metadata_columns, deployment)
        query = RecommendationRequest(
            requested_results(
                request.num_results if request.HasField("num_results") else None,
                most=MAX_RESULTS_WITH_METADATA if columns else MAX_RESULTS,
            ),
            user_id=check_user(request.user_id, required=pipeline.needs_user or deployment.model.recipe.names_user),
            item_id=check_item(request.item_id) if pipeline.needs_item else "",
            context=_context(request.context, pipeline),
            columns=columns,
        )
        situation = Situation(deployment, Target.ITEM, query.user_id, query.item_id)
        if (choice := FilterChoice.of(request.filter_arn, request.filter_values)) is not None:
            query.candidates = (await self._filters.passing(choice, situation)).candidates()
        left_out = self._filters.left_out(deployment, query.user_id)
        query.candidates = query.candidates.without(left_out)
        if request.promotions:
            query.promotion = await self._promotion(request.promotions, situation, left_out=left_out)
        response = _Recommendations(recommendation_id=self._new_id(deployment))
        scored = await self._recommender.recommend(deployment, query, recommendation_id=response.recommendation_id)
        add_items(response.item_list, scored)
        return response

    async def _promotion(
        self, promotions: Sequence[runtime_service_pb2.Promotion], situation: Situation, *, left_out: ItemIndexes
    ) -> Promotion:
        """Return what is put into a list by rule; what the recipe itself leaves out is not promoted either.

        Raises:
            InvalidInput: There are several, or one is not as it must be.
            TailorbirdError: As of `RequestFilters.passing`.
        """
        sent = check_promotions([
            SentPromotion(
                item.name,
                item.percent_promoted_items,
                FilterChoice(item.filter_arn, dict(item.filter_values), "promotions[0].filterArn"),
            )
            for item in promotions
        ])  # fmt: skip
        candidates = (await self._filters.passing(sent.choice, situation)).candidates().without(left_out)
        current = situation.deployment.model.item_index(situation.item_id) if situation.item_id else None
        if current is not None:
            candidates = candidates.without(current)
        return Promotion(sent.name, candidates, sent.percent / 100)

    async def _columns(
        self, columns: Mapping[str, runtime_service_pb2.StringList], deployment: Deployment
    ) -> dict[str, Callable[[str], str]]:
        """Return how the columns that a request wants are read.

        Raises:
            InvalidInput: They are not as they must be.
            Unavailable: The features are not loaded yet.
        """
        if not columns:
            return {}
        group = self._features.find(deployment.assignment.dataset_group_arn)
        names = check_metadata(
            {kind: list(listed.values) for kind, listed in columns.items()},
            enabled=deployment.returns_metadata,
            schema=None if group is None else group.meaning.schemas.get("ITEMS"),
        )
        table = await self._features.filter_table(deployment, "ITEMS")
        return {name: partial(table.text, name=spelt) for name, spelt in names}

    def _new_id(self, deployment: Deployment) -> str:
        return self._ids.make(deployment.assignment.campaign_arn, now=self._now())

    def _find(self, request: _Request, operation: str) -> Deployment:
        """Return what answers a request.

        Raises:
            InvalidInput: The request names neither a campaign nor a recommender, or one of another operation.
            ResourceNotFound: There is none such in the caller's account, as far as is known here.
            Unavailable: There is, and this worker cannot serve it at the moment.
        """
        self._beat()
        recommender_arn: str | None = None
        if isinstance(request, runtime_service_pb2.GetRecommendationsRequest):
            recommender_arn = request.recommender_arn
        kind, arn = served_arn(request.campaign_arn, recommender_arn)
        is_known = kind.marks(arn) and account_of(arn) == current_caller().account
        deployment = self._table.find(arn) if is_known else None
        if deployment is None:
            if is_known and self._table.lacks(arn):
                raise unserved_target(kind, arn)
            raise unknown_target(kind, arn)
        check_operation(operation, campaign_arn=arn, recipe=deployment.model.recipe)
        return deployment


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


def _context(context: Mapping[str, str], pipeline: Pipeline) -> Mapping[str, str]:
    uses_context = "context" in pipeline.model.recipe.side_data
    return check_context(context, uses_context=uses_context, columns=pipeline.users.context_columns)
