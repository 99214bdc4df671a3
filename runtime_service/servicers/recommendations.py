"""The runtime's contract: recommendations, rankings, and refusals of what is not built yet."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from common.errors import invalid
from common.operations import unimplemented_methods
from inference.recent_events import RecentHistory
from inference.result import ScoredItems
from protos.tailorbird.runtime.v1 import runtime_service_pb2
from recipes.spec import RecipeKind
from runtime_service.domain.requests import (
    DEFAULT_ACTIONS,
    EXPLORED,
    MAX_ACTIONS,
    check_context,
    check_item,
    check_items,
    check_operation,
    check_user,
    not_built,
    results_wanted,
    unknown_campaign,
    unserved_campaign,
)
from runtime_service.history import HistoryReader
from runtime_service.serving.deployments import Deployment, DeploymentTable

__all__ = ["RuntimeServicer"]

_CONTRACT = runtime_service_pb2.DESCRIPTOR.services_by_name["RuntimeService"]
#: Members that would change the answer, were they built; a request that carries one is refused, never half served.
_NOT_BUILT = frozenset({"filter_arn", "filter_values", "promotions", "metadata_columns", "recommender_arn"})

_Request = (
    runtime_service_pb2.GetRecommendationsRequest
    | runtime_service_pb2.GetPersonalizedRankingRequest
    | runtime_service_pb2.GetActionRecommendationsRequest
)
_Recommendations = runtime_service_pb2.GetRecommendationsResponse
_Ranking = runtime_service_pb2.GetPersonalizedRankingResponse
_ActionList = runtime_service_pb2.GetActionRecommendationsResponse


@unimplemented_methods(_CONTRACT)
class RuntimeServicer:
    """Answers from memory, on the event loop: nothing here waits, but for a list of what trends that is made anew.

    The generated base is left out: the decorator gives the class every method of the contract.

    Args:
        table: What is served.
        histories: What users did a moment ago.
        beat: Called with each request: shows that this process lives.
        now: Tells the present moment in seconds since 1970.
    """

    def __init__(
        self,
        table: DeploymentTable,
        histories: HistoryReader,
        *,
        beat: Callable[[], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._histories = histories
        self._beat = beat
        self._now = now

    async def GetActionRecommendations(
        self,
        request: runtime_service_pb2.GetActionRecommendationsRequest,
        context: Any,  # noqa: ARG002 - gRPC passes it
    ) -> _ActionList:
        """Return the actions that a user is most likely to take, with how likely each is for itself."""
        deployment = self._find(request, "GetActionRecommendations")
        asked = request.num_results if request.HasField("num_results") else None
        count = results_wanted(asked, default=DEFAULT_ACTIONS, most=MAX_ACTIONS)
        user_id = check_user(request.user_id, required=True)
        answer = _ActionList(recommendation_id=_new_id())
        recent = self._recent(deployment, user_id)
        for action_id, score in deployment.act(user_id, recent, limit=count, now=self._now()):
            answer.action_list.add(action_id=action_id, score=score)
        return answer

    async def GetPersonalizedRanking(
        self, request: runtime_service_pb2.GetPersonalizedRankingRequest, context: Any
    ) -> _Ranking:
        """Return the given items in the order that fits a user; items that the model does not know come last."""
        deployment = self._find(request, "GetPersonalizedRanking")
        item_ids = check_items(request.input_list)
        user_id = check_user(request.user_id, required=True)
        answer = _Ranking(recommendation_id=_new_id())
        context = check_context(
            request.context,
            uses_context="context" in deployment.model.recipe.side_data,
            columns=deployment.context_columns,
        )
        model, add = deployment.model, answer.personalized_ranking.add
        indexes = model.items.indexes(item_ids)
        known = indexes[indexes >= 0]
        if len(known):
            recent = self._recent(deployment, user_id)
            ranked = deployment.rank(user_id, recent, items=known, context=context)
            for item, score in zip(ranked.items.tolist(), _sent(ranked), strict=True):
                add(item_id=model.item_ids[item], score=score)
        for item_id, index in zip(item_ids, indexes.tolist(), strict=True):
            if index < 0:
                add(item_id=item_id)
        return answer

    async def GetRecommendations(
        self, request: runtime_service_pb2.GetRecommendationsRequest, context: Any
    ) -> _Recommendations:
        """Return the items that fit a user, or that are related to an item, best first."""
        deployment = self._find(request, "GetRecommendations")
        recipe = deployment.model.recipe
        count = results_wanted(request.num_results if request.HasField("num_results") else None)
        user_id = check_user(request.user_id, required=recipe.kind.is_personalized)
        item_id = check_item(request.item_id) if recipe.recipe_type == "RELATED_ITEMS" else None
        context = check_context(
            request.context, uses_context="context" in recipe.side_data, columns=deployment.context_columns
        )
        answer = _Recommendations(recommendation_id=_new_id())
        if count == 0:
            return answer
        if item_id is not None:
            ranked = deployment.relate(item_id, limit=count)
        elif recipe.kind is RecipeKind.TRENDING_ITEMS:
            ranked = await deployment.trending(self._histories, limit=count)
        else:
            recent = self._recent(deployment, user_id)
            ranked = deployment.recommend(user_id, recent, limit=count, context=context)
        if new := deployment.explorable(ranked):
            self._histories.log_impressions(answer.recommendation_id, deployment.assignment.dataset_group_arn, new)
        ids, add = deployment.item_ids, answer.item_list.add  # adding costs less than making a list first
        items = ranked.items.tolist()
        if not recipe.returns_scores:
            for item in items:
                add(item_id=ids[item])
        elif ranked.explored is not None:
            for item, score, explored in zip(items, _sent(ranked), ranked.explored.tolist(), strict=True):
                if explored:
                    add(item_id=ids[item], reason=[EXPLORED])
                else:
                    add(item_id=ids[item], score=score)
        else:
            for item, score in zip(items, _sent(ranked), strict=True):
                add(item_id=ids[item], score=score)
        return answer

    def _find(self, request: _Request, operation: str) -> Deployment:
        """Return what answers a request.

        Raises:
            InvalidInput: The request carries what is not built, or no campaign, or one of another operation.
            ResourceNotFound: There is no such campaign, as far as is known here.
            Unavailable: There is, and this worker cannot serve it at the moment.
        """
        self._beat()
        refused = [field.json_name for field, _ in request.ListFields() if field.name in _NOT_BUILT]
        if refused:
            raise not_built(refused, operation=operation)
        deployment = self._table.find(request.campaign_arn)
        if deployment is None:
            if not request.campaign_arn:
                raise invalid("campaignArn", got=request.campaign_arn, want="the ARN of a campaign")
            if self._table.lacks(request.campaign_arn):
                raise unserved_campaign(request.campaign_arn)
            raise unknown_campaign(request.campaign_arn)
        check_operation(operation, campaign_arn=request.campaign_arn, recipe=deployment.model.recipe)
        return deployment

    def _recent(self, deployment: Deployment, user_id: str) -> RecentHistory | None:
        return self._histories.find(deployment.assignment.dataset_group_arn, user_id) if user_id else None


def _new_id() -> str:
    return f"RID-{uuid.uuid4()}"


def _sent(ranked: ScoredItems) -> list[float]:
    """Return the scores with seven decimals, as Personalize sends them."""
    scores: list[float] = ranked.scores.astype("float64").round(7).tolist()
    return scores
