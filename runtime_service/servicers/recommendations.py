"""The runtime's contract: GetRecommendations, and refusals of what is not built yet."""

# ruff: noqa: ARG002 - gRPC passes a context to every method

from __future__ import annotations

import uuid
from typing import Any

from common.errors import invalid
from common.operations import refuse_unbuilt
from protos.tailorbird.runtime.v1 import runtime_service_pb2
from runtime_service.domain.requests import check_user, not_built, results_wanted, unknown_campaign
from runtime_service.history import HistoryReader
from runtime_service.serving.deployments import Deployment, DeploymentTable

__all__ = ["RuntimeServicer"]

_CONTRACT = runtime_service_pb2.DESCRIPTOR.services_by_name["RuntimeService"]
#: Members that would change the answer, were they built; a request that carries one is refused, never half served.
_NOT_BUILT = ("context", "filter_arn", "filter_values", "promotions", "metadata_columns", "recommender_arn")
_FIELDS = runtime_service_pb2.GetRecommendationsRequest.DESCRIPTOR.fields_by_name
_BUILT = frozenset(field.number for name, field in _FIELDS.items() if name not in _NOT_BUILT)
_NOT_BUILT_NAMES = {name: _FIELDS[name].json_name for name in _NOT_BUILT}

_Response = runtime_service_pb2.GetRecommendationsResponse


@refuse_unbuilt(_CONTRACT)
class RuntimeServicer:
    """Answers from memory, on the event loop: nothing here waits.

    The generated base is left out: the decorator gives the class every method of the contract.

    Args:
        table: What is served.
        histories: What users did a moment ago.
    """

    def __init__(self, table: DeploymentTable, histories: HistoryReader) -> None:
        self._table = table
        self._histories = histories

    async def GetRecommendations(
        self, request: runtime_service_pb2.GetRecommendationsRequest, context: Any
    ) -> runtime_service_pb2.GetRecommendationsResponse:
        """Return the items that fit a user, best first."""
        deployment = self._table.find(request.campaign_arn)
        if deployment is None or not _BUILT.issuperset([field.number for field, _ in request.ListFields()]):
            _refuse(request)
        if deployment is None:
            raise unknown_campaign(request.campaign_arn)
        count = results_wanted(request.num_results if request.HasField("num_results") else None)
        user_id = check_user(request.user_id, required=deployment.model.recipe.uses_history)
        return self._answer(deployment, user_id, count)

    def _answer(
        self, deployment: Deployment, user_id: str, count: int
    ) -> runtime_service_pb2.GetRecommendationsResponse:
        answer = _Response(recommendation_id=f"RID-{uuid.uuid4()}")
        if count == 0:
            return answer
        recent = self._histories.find(deployment.assignment.dataset_group_arn, user_id) if user_id else None
        ranked = deployment.recommend(user_id, recent, limit=count)
        ids, add = deployment.model.item_ids, answer.item_list.add  # adding costs less than making a list first
        items = ranked.items.tolist()
        if not deployment.model.recipe.returns_scores:
            for item in items:
                add(item_id=ids[item])
        else:
            # Seven decimals, as Personalize sends them.
            for item, score in zip(items, ranked.scores.astype("float64").round(7).tolist(), strict=True):
                add(item_id=ids[item], score=score)
        return answer


def _refuse(request: runtime_service_pb2.GetRecommendationsRequest) -> None:
    """Raise if the request carries what is not built, or no campaign."""
    sent = {field.name for field, _ in request.ListFields()}
    refused = [_NOT_BUILT_NAMES[name] for name in _NOT_BUILT if name in sent]
    if refused:
        raise not_built(refused)
    if not request.campaign_arn:
        raise invalid("campaignArn", got=request.campaign_arn, want="the ARN of a campaign")
