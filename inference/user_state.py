"""From what somebody did to what scores start from: an embedding, and score deltas of a few items.

The state of a user at the snapshot follows from the artifact alone, that of a user who did something since is made of
both and kept until the next event. Score deltas of the snapshot are made for each request: kept, they would take more
room than the histories.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np

from common.columns import normalise_key
from common.positions import Position
from inference.model import Model
from inference.recent_events import EventRule, RecentHistory, newer_events, to_history
from recipes.data.histories import FloatArray, Histories, History
from recipes.ports import ItemScorer, RelatesNewItems, ScoreDelta, UsesSideFeatures
from recipes.retrieval.scoring import add_features

__all__ = ["StateCache", "StateCounts", "UserState", "UserStates"]

_NO_HISTORY = History.of_items([])


@dataclass(slots=True, eq=False)  # not frozen, which takes several times as long to make
class UserState:
    """What a history comes to; not to be changed.

    Attributes:
        embedding: float32 [d]; its inner product with an item's vector is the item's score.
        score_deltas: What is added to the scores of a few items.
        for_new_items: float32 [c], the embedding by which items that came after the model are scored; None where that
            is the same one.
    """

    embedding: FloatArray
    score_deltas: ScoreDelta
    for_new_items: FloatArray | None = None


@dataclass(slots=True)
class StateCounts:
    """What answers started from so far, for metrics.

    Attributes:
        cached: States of users with newer events, as an earlier request left them.
        made: The same, made for the request.
        snapshot: States of users of the training without newer events.
        nobody: States of an empty history: nobody's, or of a user of whom nothing is known.
    """

    cached: int = 0
    made: int = 0
    snapshot: int = 0
    nobody: int = 0


class _Seen(NamedTuple):
    """Which events of a user there are beside those of the snapshot.

    Attributes:
        newest: Place of the newest.
        contained: Up to this offset the snapshot has them.
        size: Of what is kept: a deletion may remove events before the newest.
    """

    newest: Position
    contained: int
    size: int

    @classmethod
    def of(cls, recent: RecentHistory, watermark: Position) -> _Seen:
        """Compare recent events with a snapshot that reaches to a place."""
        return cls(recent.lineage.at(recent.last_offset), recent.lineage.shared(watermark), recent.size)


class StateCache:
    """The states of users with recent events, least recently used out first.

    A state is good for as long as its user has no newer event and loses none, and, if an event names an item that the
    model does not know, for as long as what is known of such items stays the same. Results are not kept.

    Args:
        size: Users at most; 0 keeps none.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._entries: OrderedDict[str, tuple[object, object, UserState]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, user_id: str, seen: object, *, new_items: object) -> UserState | None:
        """Return the state of a user that was made of these events, and of these new items if it was of any."""
        entry = self._entries.get(user_id)
        if entry is None or entry[0] != seen or (entry[1] is not None and entry[1] is not new_items):
            return None
        self._entries.move_to_end(user_id)
        return entry[2]

    def put(self, user_id: str, seen: object, state: UserState, *, new_items: object) -> None:
        """Keep a state that was made of these events, and of these new items; None if it was of none."""
        if self.size:
            self._entries[user_id] = (seen, new_items, state)
            self._entries.move_to_end(user_id)
            if len(self._entries) > self.size:
                self._entries.popitem(last=False)


class UserStates:
    """Makes the states of one model; used by one thread.

    Args:
        model: The loaded artifact.
        cache_users: Users whose states are kept.
        event_type: The only type of recent events that counts; None for all.
        event_rules: Recent events count that one of them takes; without rules all do.

    Attributes:
        cold_start_state: That of an empty history.
        context_columns: The columns that the model has learnt context from, by their normalised names.
        cache: The states of active users.
        counts: What answers started from.
    """

    def __init__(
        self, model: Model, *, cache_users: int, event_type: str | None = None, event_rules: Sequence[EventRule] = ()
    ) -> None:
        self.cache = StateCache(cache_users)
        self.counts = StateCounts()
        self._model = model
        # One reference, as explanations read it in another thread.
        self._reading = model.new_items.current, model.new_items.read_by(model.scorer)
        self._relates = isinstance(model.scorer, RelatesNewItems)
        self._event_type = event_type
        self._event_rules = event_rules
        scorer = model.scorer
        side = scorer if isinstance(scorer, UsesSideFeatures) else None
        self._context = None if side is None else side.context
        self._user_features = None if side is None else side.user_features
        names = () if self._context is None else self._context.meaning.names
        self.context_columns: Mapping[str, str] = {normalise_key(name): name for name in names}
        self.cold_start_state = self.history_state(_NO_HISTORY)

    def history_state(self, history: History) -> UserState:
        """Return the state of a history of nobody in particular."""
        scorer = self._scorer()
        for_new_items = cast("RelatesNewItems", scorer).embed_for_new_items(history) if self._relates else None
        return UserState(scorer.embed_history(history), scorer.score_deltas(history), for_new_items)

    def snapshot_state(self, user: int) -> UserState:
        """Return the state of a user at the snapshot."""
        model = self._model
        return UserState(model.user_vectors[user], model.scorer.score_deltas(model.histories.of(user)))

    def user_state(self, user_id: str, recent: RecentHistory | None, *, counts: StateCounts | None = None) -> UserState:
        """Return the state of a user at this moment.

        Args:
            user_id: The user, known or not; empty for nobody.
            recent: The user's recent events.
            counts: What it is counted in; None for that of answers.
        """
        counts = self.counts if counts is None else counts
        if not user_id:
            counts.nobody += 1
            return self.cold_start_state
        model = self._model
        if recent is not None:
            seen = _Seen.of(recent, model.watermark)
            if recent.last_offset > seen.contained:
                kept = self.cache.get(user_id, seen, new_items=model.new_items.current)
                if kept is not None:
                    counts.cached += 1
                    return kept
                counts.made += 1
                return self._incremental_state(user_id, recent, seen)
        user = model.users.index(user_id)
        if user is None:
            counts.nobody += 1
            return self.cold_start_state
        counts.snapshot += 1
        return self.snapshot_state(user)

    def item_state(self, item: int) -> UserState:
        """Return the state of a history of one item."""
        return self.history_state(History.of_items([item]))

    def with_context(self, state: UserState, context: Mapping[str, str]) -> UserState:
        """Return a state in a situation, by columns of the interactions."""
        added = None if self._context is None else self._context.of_request(context)
        if added is None:
            return state
        return UserState(_plus(state.embedding, added), state.score_deltas)

    def embed_history(self, user: int | None, history: History) -> FloatArray:
        """Make the embedding of a user with a history, with what the user's columns add: float32 [d]."""
        embedding = self._scorer().embed_history(history)
        codes = self._model.user_codes
        if user is None or codes is None or self._user_features is None:
            return embedding
        return _plus(embedding, self._user_features.of_codes(codes[user : user + 1], np.array([len(history)]))[0])

    def whole_history(self, user: int | None, newer: History) -> History:
        """Return what a user did until the snapshot and since, as far as the recipe can make use of it."""
        snapshot = _NO_HISTORY if user is None else self._model.histories.of(user)
        joined = Histories.gather([snapshot, newer])
        return History(joined.items, joined.event_types, joined.times).newest(self._model.recipe.max_history)

    def _scorer(self) -> ItemScorer:
        """Return the model as it reads histories with the new items that there are now."""
        new_items = self._model.new_items
        reading = self._reading
        if reading[0] is not new_items.current:
            reading = self._reading = new_items.current, new_items.read_by(self._model.scorer)
        return reading[1]

    def user_history(self, user_id: str, recent: RecentHistory | None) -> tuple[int | None, History]:
        """Return the index of a user, None where the model knows none, and what the user did until this moment."""
        return self._read(user_id, recent)[:2]

    def _read(self, user_id: str, recent: RecentHistory | None) -> tuple[int | None, History, bool]:
        """Return the same, and whether an event names an item that the model does not know."""
        model, names_new = self._model, False
        user = model.users.index(user_id) if user_id else None
        if recent is None:
            return user, self.whole_history(user, _NO_HISTORY), False

        def index_of(item_id: str) -> int | None:
            nonlocal names_new
            index = model.items.index(item_id)
            if index is None:
                names_new = True
                index = model.new_items.index(item_id)
            return index

        contained = recent.lineage.shared(model.watermark)
        newer = newer_events(recent.events(), watermark=contained, event_type=self._event_type, rules=self._event_rules)
        steps = to_history(newer, index_of=index_of, event_types=model.event_types)
        return user, self.whole_history(user, steps), names_new

    def _incremental_state(self, user_id: str, recent: RecentHistory, seen: _Seen) -> UserState:
        model, new_items = self._model, self._model.new_items.current
        user, history, names_new = self._read(user_id, recent)
        state = UserState(self.embed_history(user, history), model.scorer.score_deltas(history))
        self.cache.put(user_id, seen, state, new_items=new_items if names_new else None)
        return state


def _plus(embedding: FloatArray, added: FloatArray) -> FloatArray:
    changed = embedding.copy()
    add_features(changed, added)
    return changed
