"""The contract suite of recipes: each recipe's tests subclass `RecipeSuite` and say what the recipe claims.

The data have answers that follow from how they were made: items stand on rings and every user walks along one ring, so
the next item is known; the same number of users begins at every item, except that one item is begun with and used most.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from recipes.catalog import get_recipe
from recipes.data.histories import Histories, History
from recipes.data.training_data import Interactions, TrainingData
from recipes.evaluation.rank_metrics import hit_rate
from recipes.evaluation.ranking import target_ranks, top_items
from recipes.evaluation.splits import hold_out_last
from recipes.registry import make_fitter, open_scorer, read_config
from recipes.retrieval.scoring import catalogue_scores
from recipes.retrieval.top_k import top_k

RINGS, RING, USERS, WALK = 4, 8, 160, 6
N_ITEMS = RINGS * RING + 1
#: Begun with by most users; stands on no ring.
FRONT_DOOR = N_ITEMS - 1
#: An item of the catalogue that nobody uses is the last one of wider data.
NOISE_ITEMS = 100
#: Whole days, so that what counts in days counts the same.
EARLIER = 20_000 * 86_400


def make_data(sequences, n_items):
    """Turn one sequence of items per user into training data, a second apart."""
    user = np.repeat(np.arange(len(sequences)), [len(sequence) for sequence in sequences])
    item = np.concatenate([np.asarray(sequence) for sequence in sequences])
    timestamp = np.concatenate([np.arange(len(sequence)) for sequence in sequences])
    interactions = Interactions.sort(user, item=item, timestamp=timestamp)
    return TrainingData(interactions, len(sequences), n_items)


def walk(start, length):
    """Return items along the ring of an item, from this one on."""
    ring, place = divmod(start, RING)
    return [ring * RING + (place + step) % RING for step in range(length)]


def ring_walks():
    """Let users walk; three in four come in by the front door. Nobody gets round, so nothing is repeated."""
    sequences = []
    for user in range(USERS):
        door = [FRONT_DOOR] if user % 4 else []
        sequences.append(door + walk(user * 5 % (RINGS * RING), WALK))
    return make_data(sequences, N_ITEMS)


def noise():
    """Let users use items that tell nothing of the next."""
    random = np.random.default_rng(11)
    return make_data([random.permutation(NOISE_ITEMS)[:8] for _ in range(150)], NOISE_ITEMS)


def creatures_of_habit():
    """Let every user use three items again and again, in any order."""
    random = np.random.default_rng(12)
    items_of_users = [random.permutation(NOISE_ITEMS)[:3] for _ in range(120)]
    return make_data([random.choice(items, 9) for items in items_of_users], NOISE_ITEMS)


def deltas(scorer, histories):
    """Return the score deltas of each history, as bytes."""
    changes = [scorer.score_deltas(histories.of(row)) for row in range(len(histories))]
    return [(delta.items.tobytes(), delta.values.tobytes()) for delta in changes]


def moved(data, seconds):
    """Let everything happen at another time."""
    timestamp = data.interactions.timestamp + seconds
    return replace(data, interactions=replace(data.interactions, timestamp=timestamp))


def same_scorer(first, second, histories):
    return (
        first.item_vectors.tobytes() == second.item_vectors.tobytes()
        and deltas(first, histories) == deltas(second, histories)
        and first.embed_histories(histories).tobytes() == second.embed_histories(histories).tobytes()
    )


class RecipeSuite:
    """What every recipe must do; subclasses give the class attributes."""

    name: ClassVar[str]
    #: Small and quick settings, as strings, the way that they come through the API.
    hyperparameters: ClassVar[dict[str, str]] = {}
    #: Share of held-out next items on the rings that must come first.
    quality_floor: ClassVar[float]
    #: Share of held-out next items among noise that may be in the first ten; a tenth is chance.
    noise_ceiling: ClassVar[float] = 0.2
    #: Whether the seed changes the result.
    uses_randomness: ClassVar[bool]
    #: Whether the recipe answers with items related to those of the history: never with these, whatever users do.
    relates_items: ClassVar[bool] = False

    @classmethod
    def make_fitter(cls, seed=1, **options):
        declared = get_recipe(cls.name)
        return make_fitter(declared, read_config(declared, cls.hyperparameters), seed=seed, **options)

    @classmethod
    def hit_rate_at(cls, scorer, split, limit):
        ranks = target_ranks(
            catalogue_scores(scorer, split.histories),
            n_items=len(scorer.item_vectors),
            histories=split.histories,
            targets=split.relevant.items,
        )
        return hit_rate(ranks, limit)

    @classmethod
    def ring_data(cls):
        """Return the walks along the rings; subclasses may add columns that say nothing new."""
        return ring_walks()

    @classmethod
    def noise_data(cls):
        """Return noise; subclasses may add columns that say nothing new."""
        return noise()

    @classmethod
    def habit_data(cls):
        """Return users who come back; subclasses may add columns that say nothing new."""
        return creatures_of_habit()

    @pytest.fixture(scope="class")
    @classmethod
    def rings(cls):
        return hold_out_last(cls.ring_data())

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, rings):
        made = cls.make_fitter()
        return made, made.fit(rings.training)

    @pytest.fixture(scope="class")
    @classmethod
    def scorer(cls, fitted):
        return fitted[1]

    def test_finds_what_was_planted(self, scorer, rings):
        assert self.hit_rate_at(scorer, rings, 1) >= self.quality_floor

    def test_finds_nothing_in_noise(self):
        split = hold_out_last(self.noise_data())
        scorer = self.make_fitter().fit(split.training)
        assert self.hit_rate_at(scorer, split, 10) <= self.noise_ceiling

    def test_arrays_are_float32_and_finite(self, scorer, rings):
        queries = scorer.embed_histories(rings.histories)
        assert scorer.item_vectors.shape == (N_ITEMS, queries.shape[1])
        assert queries.shape[0] == len(rings.histories)
        assert scorer.item_vectors.dtype == queries.dtype == np.float32
        assert np.isfinite(scorer.item_vectors).all()
        assert np.isfinite(queries).all()

    def test_same_seed_same_bytes(self, scorer, rings):
        again = self.make_fitter().fit(rings.training)
        assert same_scorer(scorer, again, rings.histories)

    def test_another_seed_another_model_only_where_chance_plays_a_part(self, scorer, rings):
        other = self.make_fitter(seed=2).fit(rings.training)
        assert same_scorer(scorer, other, rings.histories) is not self.uses_randomness

    def test_saved_and_loaded_scores_are_the_same(self, scorer, rings, tmp_path):
        scorer.save(tmp_path)
        loaded = open_scorer(get_recipe(self.name), tmp_path)
        assert same_scorer(scorer, loaded, rings.histories)
        assert {path.suffix for path in tmp_path.iterdir()} == {".npy"}
        assert (tmp_path / "item_vectors.npy").is_file()

    def test_one_history_and_many_agree(self, scorer, rings):
        embeddings = scorer.embed_histories(rings.histories)
        alone = [scorer.embed_history(rings.histories.of(row)) for row in range(len(rings.histories))]
        np.testing.assert_allclose(embeddings, alone, atol=1e-5)

    def test_a_new_user_gets_what_users_begin_with(self, scorer):
        nothing = History.of_items([])
        assert len(scorer.score_deltas(nothing).items) == 0
        assert top_k(scorer.item_vectors @ scorer.embed_history(nothing), 1).tolist() == [FRONT_DOOR]

    def test_score_deltas_name_each_item_once(self, scorer, rings):
        changes = [scorer.score_deltas(rings.histories.of(row)) for row in range(len(rings.histories))]
        assert {(delta.items.dtype.name, delta.values.dtype.name) for delta in changes} == {("int32", "float32")}
        assert all(len(np.unique(delta.items)) == len(delta.items) == len(delta.values) for delta in changes)
        assert all(np.isfinite(delta.values).all() for delta in changes)

    def test_event_types_and_times_beyond_the_model_are_taken(self, scorer):
        items = np.array(walk(3, 4), np.int32)
        far = History(items, np.full(4, 255, np.uint8), np.array([0, 5, 2, 2**40]))
        assert np.isfinite(scorer.embed_history(far)).all()
        assert np.isfinite(scorer.score_deltas(far).values).all()

    def test_no_users_are_no_error(self, scorer):
        nobody = Histories.of_items(np.zeros(1, np.int64), np.empty(0, np.int32))
        assert scorer.embed_histories(nobody).shape == (0, scorer.item_vectors.shape[1])

    def test_unknown_items_are_passed_over(self, scorer):
        of_catalogue = History.of_items(walk(3, 4))
        mixed = History.of_items(np.insert(of_catalogue.items, [0, 2, 4], [-1, N_ITEMS, 2**31 - 1]))
        np.testing.assert_array_equal(scorer.embed_history(mixed), scorer.embed_history(of_catalogue))
        of_both = Histories.gather([mixed, of_catalogue])
        assert len(set(deltas(scorer, of_both))) == 1
        np.testing.assert_allclose(*scorer.embed_histories(of_both), atol=1e-5)

    def test_a_history_of_any_length_is_taken(self, scorer):
        limit = get_recipe(self.name).max_history
        history = History.of_items(np.resize(walk(0, RING), limit + 50))
        assert np.isfinite(scorer.embed_history(history)).all()
        assert np.isfinite(scorer.score_deltas(history).values).all()

    def test_the_history_counts_exactly_where_declared(self, scorer):
        first, second = (scorer.embed_history(History.of_items(walk(start, 3))) for start in (0, RING))
        assert np.array_equal(first, second) is not get_recipe(self.name).kind.is_personalized

    def test_learns_whether_users_come_back(self):
        split = hold_out_last(self.habit_data())
        scorer = self.make_fitter().fit(split.training)
        lists = top_items(
            catalogue_scores(scorer, split.histories), n_items=NOISE_ITEMS, histories=split.histories, limit=1
        )
        repeated = np.mean([lists[row, 0] in split.histories.of(row).items for row in range(len(lists))])
        if get_recipe(self.name).kind.is_personalized:
            assert repeated >= 0.9
        elif self.relates_items:
            assert repeated == 0.0
        else:
            assert not any(len(scorer.score_deltas(split.histories.of(row)).items) for row in range(len(lists)))

    def test_learns_that_users_never_come_back(self, scorer, rings):
        lists = top_items(
            catalogue_scores(scorer, rings.histories), n_items=N_ITEMS, histories=rings.histories, limit=5
        )
        repeated = [np.isin(lists[row], rings.histories.of(row).items).any() for row in range(len(lists))]
        if get_recipe(self.name).kind.is_personalized or self.relates_items:
            assert not any(repeated)

    def test_extending_keeps_what_was_learnt_and_is_repeatable(self, rings):
        extended = []
        for _ in range(2):
            made = self.make_fitter()
            made.fit(rings.training)
            extended.append(made.extend(self.ring_data()))
        assert same_scorer(*extended, rings.histories)
        assert self.hit_rate_at(extended[0], rings, 1) >= self.quality_floor

    def test_times_before_1970_are_times_like_all_others(self, scorer, rings):
        earlier, histories = moved(rings.training, -EARLIER), rings.histories
        fitted = self.make_fitter().fit(earlier)
        before = replace(histories, times=histories.times - EARLIER)
        assert fitted.item_vectors.tobytes() == scorer.item_vectors.tobytes()
        assert deltas(fitted, before) == deltas(scorer, histories)
        assert fitted.embed_histories(before).tobytes() == scorer.embed_histories(histories).tobytes()

    def test_progress_is_reported_and_may_stop_the_fit(self, rings):
        reports = []
        self.make_fitter(progress=lambda **report: reports.append(report)).fit(rings.training)
        assert all(0.0 < report["fraction"] <= 1.0 and report["stage"] for report in reports)
        assert reports

        def stop(**report):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.make_fitter(progress=stop).fit(rings.training)
