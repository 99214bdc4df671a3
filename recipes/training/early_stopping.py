"""When to stop: steps that are held out of a fit, how well they are predicted, and the rule that ends the epochs.

Another rule is one more class here that `make_stopping_rule` may return; the loop knows the port alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from common.errors import invalid
from recipes.components.repeats import SeenItems, learn_repeat_bias
from recipes.components.sequence_scorer import SequenceScorer
from recipes.data.histories import FloatArray, Histories, ItemIndexes
from recipes.evaluation.rank_metrics import hit_rate, ndcg
from recipes.evaluation.ranking import batches, by_vectors, coverage, target_ranks, top_items
from recipes.ports import ItemScorer
from recipes.retrieval.scoring import add_side_features, catalogue_scores, embed_users
from recipes.training.batching import SideFeatures
from recipes.training.config import SequenceConfig

__all__ = [
    "Decision", "EpochValidation", "Patience", "StoppingRule", "Validation", "hold_out", "make_stopping_rule",
]  # fmt: skip

#: Share of a user's steps that may be held out, beyond the last one.
_SHARE = 0.1
#: Items that are read for each one that may be missing, where several steps are read in one pass.
_READ_PER_STEP = 10
#: Epochs are compared by so many first places. By ten of them a thousand steps differ by chance nearly as much as by an
#: epoch: on halves of held-out steps, what a hundred places chose was better at the first ten of the other half
#: (docs/adr/0059).
_DECIDING_PLACES = 100
#: What is less of a gain than this share is not waited for, as chance alone goes on to find the like (docs/adr/0059).
_GAIN = 0.003
#: Lists by which coverage is measured, their length, and scores worked out for them at most.
_COVERED_STEPS, _COVERED_PLACES, _COVERED_SCORES = 1_000, 25, 100_000_000


class Decision(NamedTuple):
    """What follows from the evaluation of an epoch.

    Attributes:
        is_best: Whether its parameters are the ones to keep.
        stop: Whether no further epoch is to begin.
    """

    is_best: bool
    stop: bool


class StoppingRule(Protocol):
    """Decides when a fit ends; made for one fit, just before its first epoch."""

    def observe(self, value: float) -> Decision:
        """Take the value of the next epoch, the higher the better."""


class Patience:
    """Stops after some epochs without a gain (Prechelt, "Early Stopping - But When?", 1998), or after some time.

    Args:
        epochs: Evaluations without a gain of 0.3 % before stopping.
        time_limit_seconds: Seconds after which no further epoch begins; None for no limit.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self, epochs: int, *, time_limit_seconds: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience = epochs
        self._time_limit = time_limit_seconds
        self._clock = clock
        self._began = clock()
        self._best = self._gained = -1.0
        self._without_gain = 0

    def observe(self, value: float) -> Decision:
        """Take the value of the next epoch, 0 to 1; only a gain that is worth it begins the wait anew."""
        is_best = value > self._best
        self._best = max(self._best, value)
        if self._gained < 0.0 or value > self._gained * (1.0 + _GAIN):
            self._gained, self._without_gain = value, 0
        else:
            self._without_gain += 1
        is_late = self._time_limit is not None and self._clock() - self._began >= self._time_limit
        return Decision(is_best, stop=self._without_gain >= self._patience or is_late)


def make_stopping_rule(config: SequenceConfig) -> StoppingRule:
    """Make the rule of one fit; its clock begins here."""
    return Patience(config.patience, time_limit_seconds=config.time_limit_seconds)


@dataclass(frozen=True, slots=True)
class Validation:
    """Held-out steps by which a fit decides when to stop.

    Attributes:
        histories: What came before each.
        targets: int32 [m], the items.
        weights: float32 [m], how much each counts; not all 0.
        places: int64 [m], of the steps among all.
        owners: int64 [m], the users.
    """

    histories: Histories
    targets: ItemIndexes
    weights: FloatArray
    places: NDArray[np.int64]
    owners: NDArray[np.int64]

    def sample(self, limit: int) -> Validation:
        """Return at most `limit` of the steps, spread over all, as neighbours belong to one user."""
        total = len(self.targets)
        chosen = np.arange(min(total, limit)) * total // min(total, limit)
        weights = self.weights[chosen] if self.weights[chosen].any() else np.ones(len(chosen), np.float32)
        return Validation(
            self.histories.take(chosen), self.targets[chosen], weights, self.places[chosen], self.owners[chosen]
        )

    def side(self, of_all: SideFeatures) -> SideFeatures:
        """Return context and users' columns of the held-out steps, a row for each; `of_all` has those of all steps."""
        context, user_features = of_all
        return SideFeatures(
            None if context is None else context[self.places],
            None if user_features is None else user_features[self.owners],
        )

    def embed(self, scorer: ItemScorer, side: SideFeatures) -> FloatArray:
        """Make a scorer's vectors of the held-out steps: float32 [m, d].

        Args:
            scorer: Of a sequence model.
            side: Context and users' columns of all steps, held-out ones included.
        """
        context, user_features = self.side(side)
        return embed_users(scorer, self.histories, context, user_codes=user_features)

    def evaluate(self, scorer: ItemScorer, *, queries: FloatArray | None = None) -> tuple[float, float]:
        """Return NDCG@10 and HR@10 of a scorer, by full ranking.

        Args:
            scorer: To be evaluated.
            queries: Its vectors of `histories`, float32 [m, d], where they are at hand.
        """
        ranks = target_ranks(
            catalogue_scores(scorer, self.histories, embeddings=queries),
            n_items=len(scorer.item_vectors),
            histories=self.histories,
            targets=self.targets,
        )
        return ndcg(ranks, 10, weights=self.weights), hit_rate(ranks, 10, weights=self.weights)

    def coverage(self, item_vectors: FloatArray, queries: FloatArray) -> float:
        """Return the share of the catalogue that is in the lists of 25 for up to 1,000 of the steps, by vectors alone.

        A network that has learnt little but popularity shows everybody the same few items, which accuracy does not
        tell where popularity is hard to beat.

        Args:
            item_vectors: float32 [n_items, d].
            queries: float32 [m, d], of `histories`.
        """
        n_items = len(item_vectors)
        count = max(1, min(len(queries), _COVERED_STEPS, _COVERED_SCORES // n_items))
        chosen = np.arange(count) * len(queries) // count
        lists = top_items(
            by_vectors(item_vectors, queries[chosen]),
            n_items=n_items,
            histories=self.histories.take(chosen),
            limit=_COVERED_PLACES,
        )
        return coverage(lists, n_items=n_items)


class EpochMetrics(NamedTuple):
    """How well a network predicts held-out steps.

    Attributes:
        ndcg_at_100: What decides.
        ndcg_at_10: Of the same ranks.
        hit_rate_at_10: Of the same ranks.
        repeat_bias: Added to what users have used before, under which the ranks are.
    """

    ndcg_at_100: float
    ndcg_at_10: float
    hit_rate_at_10: float
    repeat_bias: float


@dataclass(frozen=True, slots=True)
class EpochValidation:
    """Held-out steps made ready to be predicted after every epoch: quickly, and almost as they are served.

    Several steps of one user are read in one pass. Where the network reads less than the whole history, an older one of
    them is predicted from up to a tenth fewer items than when it is served.

    Attributes:
        steps: To be predicted.
        side: Context and users' columns of these steps, row by row.
        seen: What their users had used before.
        read: Histories that contain those before the steps.
        owners: int64 [m], ascending: which of `read` belongs to each step.
    """

    steps: Validation
    side: SideFeatures
    seen: SeenItems
    read: Histories
    owners: NDArray[np.int64]

    @classmethod
    def prepare(cls, steps: Validation, side: SideFeatures, *, n_items: int, max_length: int) -> Self:
        """Find out which histories contain others.

        Args:
            steps: From `hold_out`: those of one user stand together, the newest first.
            side: Context and users' columns of all steps, held-out ones included.
            n_items: Items of the catalogue.
            max_length: Newest items that the network reads.
        """
        lengths = steps.histories.lengths()
        is_newest = np.ones(len(lengths), bool)
        is_newest[1:] = steps.owners[1:] != steps.owners[:-1]
        of_newest = lengths[np.flatnonzero(is_newest)[np.cumsum(is_newest) - 1]]
        # What is read whole is the same for all of its beginnings; of what is not, some are read at a time.
        number = np.where(of_newest > max_length, (of_newest - lengths) // (max_length // _READ_PER_STEP + 1), 0)
        begins = is_newest.copy()
        begins[1:] |= number[1:] != number[:-1]
        owners = np.cumsum(begins) - 1
        return cls(
            steps,
            steps.side(side),
            SeenItems.of(steps.histories, n_items=n_items),
            steps.histories.take(np.flatnonzero(begins)),
            owners,
        )

    def measure(self, scorer: SequenceScorer) -> EpochMetrics:
        """Measure the scorer's vectors by full ranking.

        Args:
            scorer: Of the network; its score fusion counts for nothing.
        """
        targets, weights, lengths = self.steps.targets, self.steps.weights, self.steps.histories.lengths()
        vectors, n_items = scorer.item_vectors, len(scorer.item_vectors)
        queries = scorer.embed_before(self.read, self.owners, lengths)
        context, user_features = self.side
        add_side_features(scorer, queries, lengths=lengths, context_codes=context, user_codes=user_features)
        bias = learn_repeat_bias(vectors, queries, seen=self.seen, targets=targets, weights=weights)
        ranks = np.empty(len(targets), np.int64)
        for part in batches(len(targets), n_items=n_items):
            scores = queries[part] @ vectors.T
            scores.reshape(-1)[self.seen.within(part)] += np.float32(bias)
            of_targets = scores[np.arange(len(scores)), targets[part]]
            # What is no number is below nothing: it puts the target last.
            ranks[part] = n_items - np.count_nonzero(scores < of_targets[:, None], axis=1)
        return EpochMetrics(
            ndcg(ranks, _DECIDING_PLACES, weights=weights),
            ndcg(ranks, 10, weights=weights),
            hit_rate(ranks, 10, weights=weights),
            bias,
        )


def hold_out(
    histories: Histories, *, count: int, seed: int, weights: FloatArray | None = None
) -> tuple[Validation, NDArray[np.bool_]]:
    """Choose steps to hold out: the last one of each of `count` users; of fewer users, several each.

    Half of the users are those whose last steps are newest, for what comes next is what counts; the others are drawn
    among all, for most users who will be served come back after a while. Where there are too few users, up to a tenth
    of a user's steps are held out.

    Args:
        histories: All steps.
        count: Steps to hold out.
        seed: Decides which users.
        weights: float32 [total], how much each step counts; None for 1. Held-out ones count alike where all of them
            weigh nothing.

    Returns:
        The held-out steps, and which steps are left: bool [total].

    Raises:
        InvalidInput: No user has two steps.
    """
    lengths = histories.lengths()
    eligible = np.flatnonzero(lengths >= 2)
    if not len(eligible):
        raise invalid("interactions", got="no user with two", want="users with at least 2 interactions")
    users = np.sort(_choose_users(eligible, histories, count=count, random=np.random.default_rng(seed)))
    each = -(-count // len(users))
    counts = np.clip((lengths[users] * _SHARE).astype(np.int64), 1, each)
    owners = np.repeat(users, counts)
    # 1 for the newest step of a user, 2 for the one before it, and so on.
    ages = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    places = histories.offsets[owners + 1] - ages
    kept = np.ones(len(histories.items), bool)
    kept[places] = False
    chosen = np.ones(len(places), np.float32)
    if weights is not None and weights[places].any():
        chosen = weights[places]
    before = histories.before(owners, lengths[owners] - ages)
    return Validation(before, histories.items[places], chosen, places, owners), kept


def _choose_users(
    eligible: NDArray[np.int64], histories: Histories, *, count: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Return up to `count` users, the newest first; those of one time in an order drawn."""
    drawn = random.permutation(eligible)
    newest_first = drawn[np.argsort(-histories.times[histories.offsets[drawn + 1] - 1], kind="stable")]
    newest, others = np.split(newest_first, [-(-min(count, len(drawn)) // 2)])
    return np.concatenate([newest, random.permutation(others)])[:count]
