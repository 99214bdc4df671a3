"""ExplanationService: says why an answer is what it is, by answering again and looking at how that goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from common.errors import Throttled, invalid
from common.positions import Position
from common.rpc import Service
from protos.tailorbird.runtime.v1 import explanation_service_pb2 as api
from protos.tailorbird.runtime.v1 import explanation_service_pb2_grpc, runtime_service_pb2
from runtime_service.domain.explanations import (
    check_alone,
    check_explained_ids,
    requested_contributions,
    unknown_answer,
)
from runtime_service.features.event_offsets import EventOffsets
from runtime_service.recorded_answers.ring import RecordedAnswer, find_answer
from runtime_service.servicers.explained import (
    Entry,
    answered_entries,
    earlier_answer,
    explained_answer,
    run_entries,
)
from runtime_service.servicers.requests import Request, RequestReader
from runtime_service.serving.deployments import Deployment
from runtime_service.serving.recommender import Recommender

__all__ = ["EXPLANATION_SERVICE", "ExplanationServicer", "explanation_service"]

EXPLANATION_SERVICE = api.DESCRIPTOR.services_by_name["ExplanationService"]
#: Explanations that a worker makes, or keeps waiting, at a time; one thread makes them.
_MAX_AT_A_TIME: Final = 4
#: By operation its request and its response.
_OPERATIONS: Final[Mapping[str, tuple[type[Any], type[Any]]]] = {
    "GetRecommendations": (
        runtime_service_pb2.GetRecommendationsRequest,
        runtime_service_pb2.GetRecommendationsResponse,
    ),
    "GetPersonalizedRanking": (
        runtime_service_pb2.GetPersonalizedRankingRequest,
        runtime_service_pb2.GetPersonalizedRankingResponse,
    ),
    "GetActionRecommendations": (
        runtime_service_pb2.GetActionRecommendationsRequest,
        runtime_service_pb2.GetActionRecommendationsResponse,
    ),
}
#: What says what is asked; an earlier answer knows it.
_MEMBERS: Final = (
    "user_id", "item_id", "input_list", "num_results", "context", "filter_arn", "filter_values", "promotions",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Earlier:
    """An earlier answer, with what it was an answer to."""

    answer: RecordedAnswer
    request: Request
    entries: Sequence[Entry]


class ExplanationServicer(explanation_service_pb2_grpc.ExplanationServiceServicer):
    """Explains answers; the work beside the pipeline's own is done in one thread of its own.

    Args:
        reader: Reads requests as the runtime's other service does.
        recommender: Answers them again.
        offsets: Tells what answers include of the event log.
        recorded_answers: Folder of the answers that this host has recorded.
        beat: Called with each request: shows that this process lives.
    """

    def __init__(
        self,
        reader: RequestReader,
        recommender: Recommender,
        *,
        offsets: EventOffsets,
        recorded_answers: Path,
        beat: Callable[[], None],
    ) -> None:
        self._reader = reader
        self._recommender = recommender
        self._offsets = offsets
        self._recorded_answers = recorded_answers
        self._beat = beat
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explanations")
        self._in_progress = 0

    async def ExplainRecommendations(
        self, request: api.ExplainRecommendationsRequest, context: Any
    ) -> api.ExplainRecommendationsResponse:
        """Explain an earlier answer, or that to a request."""
        self._beat()
        deployment = self._reader.find(request.campaign_arn, request.recommender_arn)
        count = request.num_contributions if request.HasField("num_contributions") else None
        contributions, explained_ids = requested_contributions(count), check_explained_ids(request.explained_ids)
        if self._in_progress >= _MAX_AT_A_TIME:
            raise Throttled(f"service: got {self._in_progress} explanations at a time, want fewer; try again later")
        self._in_progress += 1
        try:
            included = await self._offsets.included(context, deployment.assignment.dataset_group_arn)
            return await self._explain(request, deployment, context, included, explained_ids, contributions)
        finally:
            self._in_progress -= 1

    async def _explain(
        self,
        request: api.ExplainRecommendationsRequest,
        deployment: Deployment,
        context: Any,
        included: Position,
        explained_ids: Sequence[str],
        contributions: int,
    ) -> api.ExplainRecommendationsResponse:
        earlier = await self._earlier(request, deployment) if request.HasField("recommendation_id") else None
        read = await self._reader.read(
            _request(request, deployment) if earlier is None else earlier.request, deployment, context
        )
        if not read.query.limit:
            raise invalid("numResults", got=0, want="at least 1: an empty list has nothing to explain")
        until = None if earlier is None else earlier.answer.position
        run = await self._recommender.trace(deployment, read.query, until=until)
        response = await asyncio.get_running_loop().run_in_executor(
            self._thread,
            partial(
                explained_answer,
                run,
                read,
                run_entries(run) if earlier is None else earlier.entries,
                deployment=deployment,
                explained_ids=explained_ids,
                contributions=contributions,
            ),
        )
        response.event_offset = str(included)
        if earlier is not None:
            response.earlier_answer.CopyFrom(earlier_answer(request.recommendation_id, earlier.answer, deployment))
        return response

    async def _earlier(self, request: api.ExplainRecommendationsRequest, deployment: Deployment) -> _Earlier:
        """Return an earlier answer of a campaign.

        Raises:
            InvalidInput: The request says what was asked, too.
            ResourceNotFound: None was recorded here.
        """
        fields = request.DESCRIPTOR.fields_by_name
        check_alone({fields[name].json_name: _is_sent(request, name) for name in _MEMBERS})
        find = partial(find_answer, self._recorded_answers, request.recommendation_id)
        answer = await asyncio.get_running_loop().run_in_executor(self._thread, find)
        arn = deployment.assignment.campaign_arn
        if answer is None:
            raise unknown_answer(request.recommendation_id, arn)
        request_class, response_class = _OPERATIONS[answer.operation]
        original: Any = request_class.FromString(answer.request)
        if arn not in (original.campaign_arn, getattr(original, "recommender_arn", "")):
            raise unknown_answer(request.recommendation_id, arn)
        return _Earlier(answer, original, answered_entries(response_class.FromString(answer.response)))


def _request(request: api.ExplainRecommendationsRequest, deployment: Deployment) -> Request:
    """Return the request whose answer is to be explained.

    Raises:
        InvalidInput: It has a member that the operation for the campaign does not have.
    """
    operation = deployment.model.recipe.kind.operation
    assert operation is not None, "only what an operation answers is served"
    made: Any = _OPERATIONS[operation][0]()
    for name in ("campaign_arn", "recommender_arn", *_MEMBERS):
        if not _is_sent(request, name):
            continue
        field, value = request.DESCRIPTOR.fields_by_name[name], getattr(request, name)
        if name not in made.DESCRIPTOR.fields_by_name:
            raise invalid(field.json_name, got="a value", want=f"none: {operation}, which answers here, has none")
        if field.is_repeated:
            getattr(made, name).MergeFrom(value)
        else:
            setattr(made, name, value)
    return cast("Request", made)


def _is_sent(request: api.ExplainRecommendationsRequest, name: str) -> bool:
    field = request.DESCRIPTOR.fields_by_name[name]
    return bool(getattr(request, name)) if field.is_repeated else bool(request.HasField(cast("Any", name)))


def explanation_service(servicer: ExplanationServicer) -> Service:
    """Return the public service of explanations."""
    return Service(EXPLANATION_SERVICE, explanation_service_pb2_grpc.add_ExplanationServiceServicer_to_server, servicer)
