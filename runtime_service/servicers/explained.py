"""The messages of explanations: what is told of each item of an answer, and of items that are missed in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.explain import ExplainedScore, explain
from inference.filter_table import Passing
from inference.result import EXPLORED
from inference.run import PipelineRun
from protos.tailorbird.runtime.v1 import explanation_service_pb2 as api
from runtime_service.recorded_answers.ring import RecordedAnswer
from runtime_service.servicers.requests import ReadRequest
from runtime_service.serving.deployments import Deployment

__all__ = [
    "Entry",
    "answered_entries",
    "earlier_answer",
    "excluding_filters",
    "explained_answer",
    "run_entries",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """One result of an answer.

    Attributes:
        item_id: The item, or the action.
        score: As it is shown; None for none.
        is_explored: Whether it was put into the place of another one.
        promotion_name: Of its promotion; empty for none.
    """

    item_id: str
    score: float | None
    is_explored: bool = False
    promotion_name: str = ""


def run_entries(run: PipelineRun) -> list[Entry]:
    """Return the results of a run."""
    result, items = run.result, [*run.items.tolist(), *[-1] * len(run.candidates.unknown_ids)]
    return [
        Entry(item_id, score, run.reasons.get(item) == EXPLORED, run.promoted.get(item, ""))
        for item, item_id, score in zip(items, result.item_ids, result.scores, strict=True)
    ]


def answered_entries(response: Any) -> list[Entry]:
    """Return the results of a response of the runtime."""
    if (actions := getattr(response, "action_list", None)) is not None:
        return [Entry(action.action_id, action.score) for action in actions]
    items = response.item_list if hasattr(response, "item_list") else response.personalized_ranking
    return [
        Entry(
            item.item_id,
            item.score if item.HasField("score") else None,
            EXPLORED in item.reason,
            item.promotion_name,
        )
        for item in items
    ]


def explained_answer(
    run: PipelineRun,
    read: ReadRequest,
    entries: Sequence[Entry],
    *,
    deployment: Deployment,
    explained_ids: Sequence[str],
    contributions: int,
) -> api.ExplainRecommendationsResponse:
    """Return what is told of an answer; called in a thread, beside the requests of the pipeline.

    Args:
        run: The request, answered again.
        read: How it was read.
        entries: The results that are explained.
        deployment: What answers.
        explained_ids: Items, or actions, to explain beside the results.
        contributions: For each item at most.
    """
    listed = {entry.item_id for entry in entries}
    others = [identifier for identifier in explained_ids if identifier not in listed]
    indexes = _indexes_of(run, [*(entry.item_id for entry in entries), *others])
    made = explain(run, np.array(list(indexes.values()), np.int32), contributions=contributions)
    scores = dict(zip(indexes, made.scores, strict=True))
    found_by = _found_by(run)
    response = api.ExplainRecommendationsResponse(
        items=[
            _explained_entry(
                run,
                entry,
                place=place,
                source=_source(run, entry, indexes.get(entry.item_id), found_by),
                score=scores.get(entry.item_id),
            )
            for place, entry in enumerate(entries, 1)
        ],
        other_items=[
            _missed_item(run, read, identifier, index=indexes.get(identifier), score=scores.get(identifier))
            for identifier in others
        ],
        model=_explained_model(deployment),
        exact=made.is_exact,
    )
    excluding = excluding_filters(read.passing, indexes)
    for item in (*response.items, *response.other_items):
        item.excluding_filter_arns.extend(excluding.get(item.item_id, ()))
    return response


def _indexes_of(run: PipelineRun, ids: Sequence[str]) -> dict[str, int]:
    """Return the indexes of items, or actions, by their ids; without those that are not known."""
    if run.model.action_ids:
        actions = {identifier: run.model.actions.index(identifier) for identifier in ids}
        return {identifier: index for identifier, index in actions.items() if index is not None}
    places = {identifier: run.model.item_index(identifier) for identifier in ids}
    return {identifier: index for identifier, index in places.items() if index is not None}


def _explained_entry(
    run: PipelineRun,
    entry: Entry,
    *,
    place: int,
    source: api.CandidateSource.ValueType,
    score: ExplainedScore | None,
) -> api.ExplainedItem:
    """Return what is told of a result: its place, from 1 on, and its score; None for none."""
    item = api.ExplainedItem(item_id=entry.item_id, place=place, score=entry.score, source=source)
    if entry.promotion_name:
        item.promotion_name = entry.promotion_name
    return _scored(run, item, score)


def _missed_item(
    run: PipelineRun, read: ReadRequest, item_id: str, *, index: int | None, score: ExplainedScore | None
) -> api.ExplainedItem:
    """Return why an item, or an action, is not in an answer; its index is None where it is not known."""
    item = api.ExplainedItem(item_id=item_id)
    if index is None:
        item.absence_reason = api.ABSENCE_REASON_UNKNOWN_ID
    elif item_id == run.request.item_id:
        item.absence_reason = api.ABSENCE_REASON_CURRENT_ITEM
    elif read.listed_ids is not None and item_id not in read.listed_ids:
        item.absence_reason = api.ABSENCE_REASON_NOT_LISTED
    elif not run.candidates.contains(np.array([index], np.int32))[0]:
        item.absence_reason = api.ABSENCE_REASON_FILTERED
    elif score is None:
        has_actions = bool(run.model.action_ids)
        item.absence_reason = api.ABSENCE_REASON_NOT_OFFERED if has_actions else api.ABSENCE_REASON_UNKNOWN_ID
    elif score.rank is not None and score.rank > run.limit:
        item.absence_reason = api.ABSENCE_REASON_RANKED_BELOW
    else:
        item.absence_reason = api.ABSENCE_REASON_DISPLACED
    return _scored(run, item, score)


def excluding_filters(passing: Mapping[str, Passing], indexes: Mapping[str, int]) -> dict[str, list[str]]:
    """Return which of a request's filters items do not pass.

    What passes a filter is made once for all items: it may take as long as the catalogue is large.

    Args:
        passing: By ARN of a filter what passes it.
        indexes: Of the items, or the actions, by their ids.

    Returns:
        The ARNs by the items' ids; nothing of items that pass all.
    """
    items = np.array(list(indexes.values()), np.int32)
    excluding: dict[str, list[str]] = {}
    for arn, one in passing.items():
        for identifier, passes in zip(indexes, one.candidates().contains(items).tolist(), strict=True):
            if not passes:
                excluding.setdefault(identifier, []).append(arn)
    return excluding


def _explained_model(deployment: Deployment) -> api.ExplainedModel:
    """Return what answers."""
    assignment, index = deployment.assignment, deployment.model.index
    return api.ExplainedModel(
        solution_version_arn=assignment.solution_version_arn or None,
        artifact_location=assignment.artifact_location,
        deployment_id=assignment.deployment_id,
        recipe=deployment.model.recipe.name,
        index="exact" if index is None else type(index).__name__.removesuffix("Index").lower(),
    )


def earlier_answer(recommendation_id: str, answer: RecordedAnswer, deployment: Deployment) -> api.EarlierAnswer:
    """Return what is told of an earlier answer."""
    assignment = deployment.assignment
    before = answer.deployment_id, answer.artifact_location
    made = api.EarlierAnswer(
        recommendation_id=recommendation_id,
        event_offset=str(answer.position),
        deployment_id=answer.deployment_id,
        model_changed=before != (assignment.deployment_id, assignment.artifact_location),
    )
    made.answered_at.FromMilliseconds(answer.millis)
    return made


def _source(
    run: PipelineRun, entry: Entry, index: int | None, found_by: api.CandidateSource.ValueType
) -> api.CandidateSource.ValueType:
    if entry.promotion_name:
        return api.CANDIDATE_SOURCE_PROMOTION
    if entry.is_explored:
        return api.CANDIDATE_SOURCE_EXPLORATION
    if run.candidates.ordered:
        return api.CANDIDATE_SOURCE_INPUT_LIST
    if run.request.trend is not None:
        return api.CANDIDATE_SOURCE_TREND
    if index is not None and index >= len(run.model.action_ids or run.model.item_ids):
        return api.CANDIDATE_SOURCE_NEW_ITEM
    return found_by


def _found_by(run: PipelineRun) -> api.CandidateSource.ValueType:
    """Return the source of those of the model's items that nothing else put into the list."""
    if run.candidates.restricts and _are_candidates_alone(run):
        return api.CANDIDATE_SOURCE_FILTER
    return api.CANDIDATE_SOURCE_ALL_ITEMS if run.model.index is None else api.CANDIDATE_SOURCE_INDEX


def _are_candidates_alone(run: PipelineRun) -> bool:
    """Return whether the shortlist is all that passes, and nothing else."""
    shortlist = run.shortlist
    if shortlist is None or len(shortlist) != run.candidates.count(len(run.model.item_ids)):
        return False
    return bool(run.candidates.contains(shortlist).all())


def _scored(run: PipelineRun, item: api.ExplainedItem, score: ExplainedScore | None) -> api.ExplainedItem:
    if score is None:
        return item
    item.model_score, item.model_rank = score.model_score, score.model_rank
    item.ranking_influence, item.history_rules = score.influence, score.rules
    item.exploration_bonus, item.total_score = score.bonus, score.total
    if score.rank is not None:
        item.rank = score.rank
    for one in score.contributions:
        item.contributions.add(item_id=run.model.item_id(one.item), score_change=one.score_change)
    return item
