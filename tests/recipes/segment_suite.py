"""The contract suite of recipes that rank users: each one's tests subclass `SegmentSuite`.

Users have one of four tastes, each of twelve items; half of them do three times as much as the others. So the users who
will come to an item are those of its taste, the busy ones first, and the most active users are a fair baseline.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from common.errors import InvalidInput
from common.vocabulary import Vocabulary
from recipes.catalog import get_recipe
from recipes.data.columns import CategoricalColumn, Columns
from recipes.data.training_data import Interactions, TrainingData
from recipes.models.user_segments.attributes import Attributes
from recipes.models.user_segments.evaluation import evaluate, hold_out_newest
from recipes.models.user_segments.score import SegmentScorer
from recipes.registry import make_fitter, open_scorer, read_config

TASTES, ITEMS_OF_TASTE, USERS = 4, 12, 200
N_ITEMS = TASTES * ITEMS_OF_TASTE
TASTE_NAMES = ("Action", "Comedy", "Drama", "Film-Noir")


def taste(user):
    return user % TASTES


def metadata():
    """Give items their taste as a genre, those of even index a second one, and a year."""
    genres = [[TASTE_NAMES[item // ITEMS_OF_TASTE], *(["Even"] if item % 2 == 0 else [])] for item in range(N_ITEMS)]
    years = np.array([1990 + item % 5 for item in range(N_ITEMS)], float)
    return Columns(categorical={"GENRES": CategoricalColumn.of_values(genres)}, numeric={"YEAR": years})


def tastes(*, seed=0, noise=False):
    """Let users use items of their taste, or any where there is only noise; each user's own clock runs from 0."""
    random = np.random.default_rng(seed)
    rows = []
    for user in range(USERS):
        candidates = np.arange(N_ITEMS) if noise else taste(user) * ITEMS_OF_TASTE + np.arange(ITEMS_OF_TASTE)
        count = 10 if user // TASTES % 2 else 5
        rows += [(user, item, when) for when, item in enumerate(random.permutation(candidates)[:count])]
    users, items, times = np.array(rows).T
    return TrainingData(
        Interactions.sort(users, item=items, timestamp=times), n_users=USERS, n_items=N_ITEMS, items=metadata()
    )


def same(first: SegmentScorer, second: SegmentScorer):
    names = ("user_factors", "item_factors", "activity", "user_times", "item_times")
    pairs = [(getattr(first, name), getattr(second, name)) for name in names]
    pairs.append((first.users_of_items.values, second.users_of_items.values))
    return all(one.tobytes() == other.tobytes() for one, other in pairs) and first.weights == second.weights


class SegmentSuite:
    """What every recipe that ranks users must do."""

    name: ClassVar[str]
    hyperparameters: ClassVar[dict[str, str]] = {"hidden_dimension": "32"}
    #: Share of the right users that must be in the first hundredth, and the most that may be where there is only noise.
    recall_floor: ClassVar[float]
    noise_ceiling: ClassVar[float] = 0.04
    #: A query and the taste that the users found must have.
    query: ClassVar[tuple[str, int]]
    #: A query that names nothing known.
    unknown: ClassVar[str]

    @classmethod
    def make_fitter(cls, seed=1, **options):
        declared = get_recipe(cls.name)
        return make_fitter(declared, read_config(declared, cls.hyperparameters), seed=seed, **options)

    @pytest.fixture(scope="class")
    @classmethod
    def split(cls):
        return hold_out_newest(tastes())

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, split):
        made = cls.make_fitter()
        return made, made.fit(split.training)

    @pytest.fixture
    def opened(self, fitted, tmp_path):
        """Give what a segment job opens."""
        fitted[1].save(tmp_path)
        Vocabulary.build([f"i{item}" for item in range(N_ITEMS)]).save(tmp_path, "items")
        Vocabulary.build([f"u{user}" for user in range(USERS)]).save(tmp_path, "users")
        Attributes.of_columns(metadata(), n_items=N_ITEMS).save(tmp_path)
        return open_scorer(get_recipe(self.name), tmp_path)

    @staticmethod
    def measured(made, scorer, split):
        questions = made.questions(split)
        return evaluate(questions, made.prepare(scorer, questions)(scorer.weights), n_users=USERS).named()

    def test_finds_the_users_that_were_planted(self, fitted, split):
        assert self.measured(*fitted, split)["recall_at_1_percent"] >= self.recall_floor

    def test_beats_the_most_active_users(self, fitted, split):
        made, scorer = fitted
        lengths = split.training.histories().lengths().astype(np.float32)
        baseline = evaluate(made.questions(split), lambda _: lengths, n_users=USERS).named()
        metrics = self.measured(made, scorer, split)
        assert metrics["recall_at_1_percent"] > 1.5 * baseline["recall_at_1_percent"]
        assert metrics["hits_at_1_percent"] > 1.5 * baseline["hits_at_1_percent"]
        assert metrics["coverage"] > baseline["coverage"]

    def test_finds_nothing_in_noise(self):
        split = hold_out_newest(tastes(seed=3, noise=True))
        made = self.make_fitter()
        assert self.measured(made, made.fit(split.training), split)["recall_at_1_percent"] <= self.noise_ceiling

    def test_same_seed_same_bytes(self, fitted, split):
        assert same(self.make_fitter().fit(split.training), fitted[1])

    def test_a_segment_is_of_users_with_the_right_taste(self, opened):
        text, expected = self.query
        users = opened.segment(text, 20)
        assert len(set(users)) == 20
        assert np.mean([taste(int(user[1:])) == expected for user in users]) >= 0.9

    def test_segments_begin_alike_whatever_their_size(self, opened):
        text, _ = self.query
        assert opened.segment(text, 50)[:7] == opened.segment(text, 7)

    def test_a_segment_ends_with_the_users(self, opened):
        assert 1 <= len(opened.segment(self.query[0], 10 * USERS)) <= USERS

    def test_saved_and_opened_scorers_are_the_same(self, opened, fitted):
        assert same(opened.scorer, fitted[1])

    def test_an_item_that_the_training_did_not_have_is_refused(self, opened):
        with pytest.raises(InvalidInput, match=r"at the training|a value of that column"):
            opened.segment(self.unknown, 5)

    def test_extending_keeps_what_was_learnt_and_is_repeatable(self, split):
        extended = []
        for _ in range(2):
            made = self.make_fitter()
            made.fit(split.training)
            extended.append(made.extend(tastes()))
        assert same(*extended)
        assert extended[0].users_of_items.offsets[-1] > len(split.training.interactions)

    def test_one_moment_for_everything_is_refused(self):
        data = tastes()
        rows = data.interactions
        frozen = Interactions(rows.user, rows.item, np.zeros_like(rows.timestamp), rows.event_type)
        with pytest.raises(InvalidInput, match="one timestamp everywhere"):
            self.make_fitter().fit(TrainingData(frozen, USERS, N_ITEMS, items=metadata()))

    def test_progress_is_reported_and_may_stop_the_fit(self, split):
        reports = []
        self.make_fitter(progress=lambda **report: reports.append(report)).fit(split.training)
        assert [report["fraction"] for report in reports] == sorted(report["fraction"] for report in reports)
        assert reports[-1]["fraction"] == 1.0

        def stop(**report):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.make_fitter(progress=stop).fit(split.training)
