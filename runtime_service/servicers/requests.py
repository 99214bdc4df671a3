"""Reads requests for recommendations, rankings and actions: what answers them, and the question to its pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from common.arn import account_of
from common.auth import current_caller
from common.errors import Unavailable
from common.filters import Target
from inference.candidates import ItemList
from inference.filter_table import Passing
from inference.pipelines import Pipeline
from inference.request import Promotion, RecommendationRequest
from inference.used_items import WHOLE_HISTORY, EventWindow
from protos.tailorbird.runtime.v1 import runtime_service_pb2
from recipes.data.histories import ItemIndexes
from runtime_service.domain.filters import (
    MAX_RESULTS_WITH_METADATA,
    NOT_TOLD_YET,
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
    check_user,
    requested_results,
    served_arn,
    unknown_target,
    unready_target,
    unserved_target,
)
from runtime_service.features.request_filters import RequestFilters, Situation
from runtime_service.features.updater import FeatureUpdater
from runtime_service.history import ACTION_INTERACTIONS, INTERACTIONS, HistoryReader
from runtime_service.serving.catch_up import CatchUp
from runtime_service.serving.deployments import Deployment, DeploymentTable

__all__ = ["ReadRequest", "Request", "RequestReader"]

Request = (
    runtime_service_pb2.GetRecommendationsRequest
    | runtime_service_pb2.GetPersonalizedRankingRequest
    | runtime_service_pb2.GetActionRecommendationsRequest
)


@dataclass(slots=True)  # not frozen, which takes several times as long to make
class ReadRequest:
    """A request as its pipeline reads it.

    Attributes:
        query: The question.
        passing: By ARN of a filter what passes it, where the request names one.
        listed_ids: The items to rank; None where the request names none.
    """

    query: RecommendationRequest
    passing: Mapping[str, Passing] = field(default_factory=dict)
    listed_ids: Sequence[str] | None = None


class RequestReader:
    """Checks requests and turns them into questions; used on one event loop.

    Args:
        table: What is served.
        histories: What users did a moment ago.
        features: What filters and metadata columns read.
        catch_up: Lets requests that name something unknown wait until this worker was told of it; None lets none wait.
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
        window: EventWindow = WHOLE_HISTORY,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._filters = RequestFilters(features, histories, window=window)
        self._features = features
        self._catch_up = catch_up
        self._now = now

    def find(self, campaign_arn: str, recommender_arn: str | None) -> Deployment:
        """Return what answers for a campaign or a recommender.

        Args:
            campaign_arn: ARN of the campaign; empty for none.
            recommender_arn: ARN of the recommender; empty for none, None of operations that recommenders do not answer.

        Raises:
            InvalidInput: Neither is named, or both are.
            ResourceNotFound: There is none such in the caller's account, as far as is known here.
            Unavailable: There is, and this worker cannot serve it at the moment; or there may be, in a moment.
        """
        kind, arn = served_arn(campaign_arn, recommender_arn)
        is_known = kind.marks(arn) and account_of(arn) == current_caller().account
        deployment = self._table.find(arn) if is_known else None
        if deployment is None:
            if is_known and self._table.lacks(arn):
                raise unserved_target(kind, arn)
            if is_known and self._table.may_come(arn):
                raise unready_target(kind, arn)
            raise unknown_target(kind, arn)
        return deployment

    async def read(self, request: Request, deployment: Deployment, context: Any) -> ReadRequest:
        """Return the question of a request.

        What it names and this worker was not told of may have been created a moment ago: then it is read again, once
        this worker has been told what the control plane has by now.

        Args:
            request: Of one of the operations.
            deployment: What answers.
            context: Of the call, which bounds the time.

        Raises:
            TailorbirdError: The request is not as it must be, or what its filters read is not loaded yet.
            Unavailable: It names something unknown, and whether there is such a thing cannot be asked.
        """
        try:
            return await self._read(request, deployment)
        except NOT_TOLD_YET as error:
            if self._catch_up is None:
                raise
            try:
                await self._catch_up.until_current(context, deployment.assignment.dataset_group_arn)
            except Unavailable as cause:
                # It is logged, so it quotes nothing.
                what = "whether there is what it names and this runtime does not know"
                message = f"request: {what} cannot be told now: {cause.message}; call again in a moment"
                raise Unavailable(message, metadata=error.metadata) from cause
        return await self._read(request, deployment)

    async def _read(self, request: Request, deployment: Deployment) -> ReadRequest:
        if isinstance(request, runtime_service_pb2.GetRecommendationsRequest):
            return await self._items(request, deployment)
        if isinstance(request, runtime_service_pb2.GetPersonalizedRankingRequest):
            return await self._ranking(request, deployment)
        return await self._actions(request, deployment)

    async def _actions(
        self, request: runtime_service_pb2.GetActionRecommendationsRequest, deployment: Deployment
    ) -> ReadRequest:
        """Return the question for actions; errors as of `read`."""
        count = request.num_results if request.HasField("num_results") else None
        limit = requested_results(count, default=DEFAULT_ACTIONS, most=MAX_ACTIONS)
        user_id = check_user(request.user_id, required=deployment.pipeline.needs_user)
        query = RecommendationRequest(limit, user_id=user_id, now=self._now())
        passing: dict[str, Passing] = {}
        if (choice := FilterChoice.of(request.filter_arn, request.filter_values)) is not None:
            situation = Situation(deployment, Target.ACTION, user_id)
            passing[choice.arn] = await self._filters.passing(choice, situation)
            query.candidates = passing[choice.arn].candidates()
            query.recent_actions = situation.recent.get(ACTION_INTERACTIONS)
        return ReadRequest(query, passing)

    async def _ranking(
        self, request: runtime_service_pb2.GetPersonalizedRankingRequest, deployment: Deployment
    ) -> ReadRequest:
        """Return the question for a ranking; errors as of `read`."""
        pipeline, columns = deployment.pipeline, await self._columns(request.metadata_columns, deployment)
        item_ids = check_items(request.input_list, most=MAX_RESULTS_WITH_METADATA if columns else MAX_RANKED)
        user_id = check_user(request.user_id, required=pipeline.needs_user)
        listed = ItemList.of_ids(item_ids, pipeline.model.items, new=pipeline.model.new_items.described_index)
        situation = Situation(deployment, Target.ITEM, user_id, listed=listed)
        passing: dict[str, Passing] = {}
        if (choice := FilterChoice.of(request.filter_arn, request.filter_values)) is not None:
            passing[choice.arn] = await self._filters.passing(choice, situation)
            listed = self._filters.keep(passing[choice.arn], situation)
        query = RecommendationRequest(
            len(item_ids),
            user_id=user_id,
            recent=situation.recent.get(INTERACTIONS),
            context=_context(request.context, pipeline),
            candidates=listed,
            columns=columns,
        )
        return ReadRequest(query, passing, item_ids)

    async def _items(
        self, request: runtime_service_pb2.GetRecommendationsRequest, deployment: Deployment
    ) -> ReadRequest:
        """Return the question for items; errors as of `read`."""
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
        passing: dict[str, Passing] = {}
        if (choice := FilterChoice.of(request.filter_arn, request.filter_values)) is not None:
            passing[choice.arn] = await self._filters.passing(choice, situation)
            query.candidates = passing[choice.arn].candidates()
        left_out = self._filters.left_out(situation)
        query.candidates = query.candidates.without(left_out)
        if request.promotions:
            query.promotion = await self._promotion(request.promotions, situation, left_out=left_out)
        query.recent = situation.recent.get(INTERACTIONS)
        return ReadRequest(query, passing)

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


def _context(context: Mapping[str, str], pipeline: Pipeline) -> Mapping[str, str]:
    uses_context = "context" in pipeline.model.recipe.side_data
    return check_context(context, uses_context=uses_context, columns=pipeline.users.context_columns)
