"""Answers lines by the pipeline that answers requests: what is asked, and an artifact with what came after it.

`Setup` says what all lines of a job have in common, `Question` is a part of the lines with what their users did since
the training. A process opens what a setup names once, memory-mapped, and keeps it for all parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import polars as pl

from common.avro import AvroSchema
from common.errors import InvalidInput, invalid
from common.features import Features
from common.filters import MAX_LENGTH, Dataset, Filter, Target, parse_filter
from common.filters.expression import Scalar
from common.settings import StoreSettings
from common.storage.objects import open_store
from inference.blocks import UserBlocks
from inference.candidates import ItemList
from inference.encoded_items import EncodedNewItems, encoded_new_items
from inference.filter_table import FilterTable, Passing
from inference.filtering import evaluate
from inference.model import Model, ModelLoader, RankingInfluence
from inference.pipelines import Pipeline
from inference.recent_events import EventRule
from inference.request import RecommendationRequest
from inference.result import ScoredItems
from inference.used_items import EventWindow, used_items
from recipes.components.exploration import ExplorationSettings
from recipes.ports import EncodesNewItems
from trainer.batch.caches import usable_cache
from trainer.batch.feature_files import FeatureFiles
from trainer.batch.lines import Answers, Line, filter_values, read_lines, text_member
from trainer.batch.randomness import LineRandom
from trainer.batch.recent_events import Sent, TableHistory
from trainer.batch.results import PartResult

__all__ = ["MAX_LISTED", "Enrich", "Enricher", "LineScorer", "Question", "Setup", "answer"]

#: Items of an `itemList` at most.
MAX_LISTED: Final = 500
_DATASETS: Final[Mapping[str, Dataset]] = {
    "ITEMS": Dataset.ITEMS,
    "USERS": Dataset.USERS,
    "INTERACTIONS": Dataset.INTERACTIONS,
}
#: Returns further members of each line's output, from the ids that each recommends.
Enrich = Callable[[Sequence[Sequence[str]]], Sequence[Mapping[str, Any]]]


class Enricher(Protocol):
    """Adds to the output of each line; travels to the processes that answer lines, so it can be pickled.

    Attributes:
        columns: The members that it adds, as columns of Parquet.
    """

    @property
    def columns(self) -> Mapping[str, pl.DataType]:
        """The members that it adds, as columns of Parquet."""

    def open(self, features: Features | None) -> Enrich:
        """Return what does it in this process; called once in each, with the features of the items."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What all lines of a job have in common.

    Attributes:
        store: Where artifacts are.
        artifact_location: Of the model.
        cache: Local folder for a copy of the artifact, from a store that is not local; in that of the job.
        num_results: Results of a line at most.
        event_type: The only type of recent events that counts; None for all.
        event_rules: Recent events count that one of them takes; without rules all do.
        exploration: How new items are explored, where the recipe lets a job say so.
        influence: How much freshness and popularity count, likewise.
        filter_text: The expression of the filter; empty for none.
        schemas: By type of dataset the Avro schema.
        features: By type of dataset, ITEMS and USERS, as far as they are needed.
        window: How much of what users did counts for filters.
        enricher: Adds to the output of each line; None for nothing.
    """

    store: StoreSettings
    artifact_location: str
    cache: Path
    num_results: int
    event_type: str | None = None
    event_rules: tuple[EventRule, ...] = ()
    exploration: ExplorationSettings = field(default_factory=ExplorationSettings)
    influence: RankingInfluence = field(default_factory=RankingInfluence)
    filter_text: str = ""
    schemas: Mapping[str, str] = field(default_factory=dict)
    features: Mapping[str, FeatureFiles] = field(default_factory=dict)
    window: EventWindow = field(default_factory=EventWindow)
    enricher: Enricher | None = None

    def filter(self) -> Filter | None:
        """Return the filter; None for none.

        Raises:
            InvalidInput: The schemas no longer fit it.
        """
        if not self.filter_text:
            return None
        schemas = {_DATASETS[kind]: AvroSchema.parse(text) for kind, text in self.schemas.items() if kind in _DATASETS}
        # How many fields a filter may read was checked by the quota when it was created.
        return parse_filter(self.filter_text, schemas, max_fields=MAX_LENGTH)


@dataclass(frozen=True, slots=True)
class Question:
    """Some lines, and what their users did since the training.

    Attributes:
        setup: Of the job.
        first: Number of the first line.
        data: The lines.
        recent: By user the events since the training, of those users who have any.
    """

    setup: Setup
    first: int
    data: bytes
    recent: Mapping[str, Sent] = field(default_factory=dict)


_opened: list[LineScorer] = []


def answer(question: Question) -> PartResult:
    """Answer some lines; what their setup names is opened by the first call of a process.

    Raises:
        TailorbirdError: The artifact or what belongs to it cannot be opened: no line can be answered.
    """
    if not _opened or _opened[0].setup != question.setup:
        _opened[:] = []  # first, as both need not fit into memory
        _opened.append(LineScorer.open(question.setup))
    scorer, gathered = _opened[0], Answers()
    lines = list(read_lines(question.data, first=question.first))
    outputs = scorer.outputs(lines, question.recent)
    scorer.enrich([output for output in outputs if isinstance(output, dict)])
    for line, output in zip(lines, outputs, strict=True):
        if isinstance(output, dict):
            gathered.add(line, output)
        else:
            gathered.fail(line, output)
    return PartResult(gathered.content(), gathered.answered, gathered.failed)


class LineScorer:
    """Answers the lines of one job; used by one thread.

    Args:
        setup: Of the job.
        model: The artifact, as the job configures it.
        pipeline: Answers requests.
        random: What the pipeline draws from.
        items: The features of the items; None where the job needs none.
        users: The same of the users.
    """

    def __init__(
        self,
        setup: Setup,
        model: Model,
        pipeline: Pipeline,
        random: LineRandom,
        *,
        items: Features | None = None,
        users: Features | None = None,
    ) -> None:
        self.setup = setup
        self._model = model
        self._pipeline = pipeline
        self._random = random
        self._users = users
        self._filter = setup.filter()
        self._table = _bound(model, pipeline, items, is_filtered=self._filter is not None)
        # It takes no line with a filter, and holds 64 bytes of each item.
        self._blocks = None if self._filter is not None else UserBlocks.of(pipeline, limit=setup.num_results)
        self._enrich = None if setup.enricher is None else setup.enricher.open(items)

    @classmethod
    def open(cls, setup: Setup) -> LineScorer:
        """Open what a setup names; errors of `ModelLoader.load`, and Unavailable where features are gone."""
        store, cache = open_store(setup.store), usable_cache(setup.cache)
        model = ModelLoader(store, cache=cache, index="auto").load(setup.artifact_location)
        model, random = setup.influence.on(model), LineRandom(setup.artifact_location)
        pipeline = Pipeline.make(
            model,
            event_type=setup.event_type,
            event_rules=setup.event_rules,
            exploration=setup.exploration,
            random=lambda: random.generator,
        )
        features = {kind: files.open(store, cache) for kind, files in setup.features.items()}
        return cls(setup, model, pipeline, random, items=features.get("ITEMS"), users=features.get("USERS"))

    def outputs(self, lines: Sequence[Line], recent: Mapping[str, Sent]) -> list[dict[str, Any] | str]:
        """Answer lines, those together that can be.

        Args:
            lines: Of one part.
            recent: By user the events since the training.

        Returns:
            The members of the `output` of each line, or why it has none.
        """
        outputs: list[dict[str, Any] | str] = []
        held: list[tuple[int, RecommendationRequest]] = []
        for place, line in enumerate(lines):
            outputs.append(line.problem)
            if line.members is None:
                continue
            try:
                request = self._request(line.members, recent)
                # What a filter lets pass may be large, and is not gathered for a whole part.
                if self._blocks is not None and self._blocks.takes(request):
                    held.append((place, request))
                else:
                    outputs[place] = self._written(self._run(request))
            except InvalidInput as error:
                outputs[place] = error.message
        if self._blocks is not None and held:
            joint = self._blocks.answer([request for _, request in held], draws=self._random)
            for (place, request), scored in zip(held, joint, strict=True):
                outputs[place] = self._written(scored or self._run(request))
        return outputs

    def _run(self, request: RecommendationRequest) -> ScoredItems:
        if self._pipeline.explorer is not None:
            self._random.begin(request.user_id)
        return self._pipeline.run(request)

    def _request(self, members: Mapping[str, Any], recent: Mapping[str, Sent]) -> RecommendationRequest:
        """Return what a line asks; raises InvalidInput where it is not as it must be."""
        pipeline, model = self._pipeline, self._model
        if members.get("context"):
            raise invalid("context", got=members["context"], want="none: batch jobs answer for no situation")
        request = RecommendationRequest(self.setup.num_results)
        if pipeline.needs_item:
            request.item_id = text_member(members, "itemId", meaning="the id of an item")
            if model.items.index(request.item_id) is None and model.new_items.described_index(request.item_id) is None:
                raise invalid("itemId", got=request.item_id, want="an item that the solution version knows")
        if not pipeline.needs_item or members.get("userId") is not None:
            request.user_id = text_member(members, "userId", meaning="the id of a user")
        if (sent := recent.get(request.user_id)) is not None:
            request.recent = TableHistory.of(sent, model.watermark)
        if pipeline.needs_list:
            listed = ItemList.of_ids(_listed(members), model.items, new=model.new_items.described_index)
            request.limit, request.candidates = len(listed.listed) + len(listed.unknown_ids), listed
        if (passing := self._passing(members, request)) is not None:
            request.candidates = _candidates(passing, request)
        return request

    def enrich(self, outputs: Sequence[dict[str, Any]]) -> None:
        """Add what the job wants beside the recommendations to the outputs of a part, all together."""
        if self._enrich is not None:
            for output, further in zip(
                outputs, self._enrich([output["recommendedItems"] for output in outputs]), strict=True
            ):
                output.update(further)

    def _passing(self, members: Mapping[str, Any], request: RecommendationRequest) -> Passing | None:
        """Return what passes the job's filter with the values of a line; None without a filter."""
        values = filter_values(members)
        definition, table = self._filter, self._table
        if definition is None:
            if values:
                raise invalid("filterValues", got=sorted(values), want="none: the job has no filterArn")
            return None
        assert table is not None, "features are opened for jobs with filters"
        if definition.needs_user and not request.user_id:
            raise invalid("userId", got=None, want="the id of a user: the job's filter reads what the user did, or is")
        part = table.kept_part("", definition, values)
        if part is None:
            part = table.keep_part("", table.compiled(definition, values))
        elif table.may_be_searched("", part):
            part = table.keep_part("", table.searched(part))
        return evaluate(
            table,
            part,
            used=lambda types: used_items(
                self._model, request.recent, request.user_id, target=Target.ITEM, types=types, window=self.setup.window
            ),
            user=lambda names: self._user_values(request.user_id, names),
            item_id=request.item_id,
            unknown_ids=request.candidates.unknown_ids,
        )

    def _user_values(self, user_id: str, names: Sequence[str]) -> Mapping[str, Sequence[Scalar]] | None:
        row = None if self._users is None else self._users.row(user_id)
        if self._users is None or row is None:
            return None
        return {name: self._users.values_of(row, name) for name in names}

    def _written(self, scored: ScoredItems) -> dict[str, Any]:
        output: dict[str, Any] = {"recommendedItems": scored.item_ids}
        if self._model.recipe.returns_scores:
            output["scores"] = scored.scores
        return output


def _candidates(passing: Passing, request: RecommendationRequest) -> Any:
    listed = request.candidates
    if isinstance(listed, ItemList):
        return passing.keep(listed, spares=passing.table.spares(listed.unknown_ids))
    return passing.candidates()


def _listed(members: Mapping[str, Any]) -> list[str]:
    """Return the items to rank, each once, where it was named first."""
    listed = members.get("itemList")
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_LISTED:
        got = f"{len(listed)} items" if isinstance(listed, list) else listed
        raise invalid("itemList", got=got, want=f"the ids of 1 to {MAX_LISTED} items")
    for place, item_id in enumerate(listed):
        if not isinstance(item_id, str) or not 1 <= len(item_id) <= 256:
            raise invalid(f"itemList[{place}]", got=item_id, want="the id of an item, text of 1 to 256 characters")
    return list(dict.fromkeys(listed))


def _bound(model: Model, pipeline: Pipeline, items: Features | None, *, is_filtered: bool) -> FilterTable | None:
    """Bind the features of items to a model, so that it knows those that came after it.

    Returns:
        What filters are evaluated over; None where neither a filter nor the model needs it.
    """
    encodes = items is not None and isinstance(model.scorer, EncodesNewItems)
    if not (encodes or is_filtered):
        return None
    table = FilterTable.of(model.items, items, new_ids=model.new_items.ids, scan=model.scan)
    if encodes:
        encoded = EncodedNewItems()
        while not encoded.is_complete:
            encoded = encoded_new_items(model, table, encoded)
        new_items = model.new_items.current = encoded.current
        if pipeline.explorer is not None:
            pipeline.explorer.admit(new_items.items, created=new_items.created, vectors=new_items.vectors)
    return table
