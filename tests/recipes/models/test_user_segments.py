"""User segments pass their contract suite; vectors, attributes and metrics have answers that can be worked out."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import CorruptArtifact, InvalidInput
from common.vocabulary import Vocabulary
from recipes.data.columns import CategoricalColumn, Columns
from recipes.data.sparse import SparseRows
from recipes.data.training_data import Interactions, TrainingData
from recipes.evaluation.bootstrap import interval
from recipes.models.user_segments import score
from recipes.models.user_segments.attributes import Attributes
from recipes.models.user_segments.evaluation import (
    Question,
    attribute_questions,
    evaluate,
    hold_out_newest,
    item_questions,
)
from recipes.models.user_segments.score import ItemSegments, SegmentScorer, Weights, best_users
from tests.recipes.segment_suite import N_ITEMS, SegmentSuite, metadata, tastes


class TestItemAffinity(SegmentSuite):
    name = "aws-item-affinity"
    recall_floor = 0.06  # two users of the 25 to 50 that have the taste and have not used the item yet
    query = ("i14", 1)
    unknown = "i99"


class TestItemAttributeAffinity(SegmentSuite):
    name = "aws-item-attribute-affinity"
    recall_floor = 0.03  # two users of the 50 with the taste
    query = ('ITEMS.genres = "Drama"', 2)
    unknown = 'ITEMS.genres = "Western"'

    def test_items_without_attributes_are_refused(self):
        data = tastes()
        with pytest.raises(InvalidInput, match="got no column to find users by"):
            self.make_fitter().fit(TrainingData(data.interactions, data.n_users, N_ITEMS))

    def test_all_conditions_must_hold(self, opened):
        both = opened.segment('ITEMS.GENRES = "Comedy" AND ITEMS.GENRES = "Even"', 10)
        assert [int(user[1:]) % 4 for user in both] == [1] * 10


def scorer(*, weights):
    """Make a scorer of three users and two items; user 0 used item 0 long ago, user 1 item 1 now and 0 before."""
    return SegmentScorer(
        user_factors=np.array([[1.0], [0.5], [0.0]], np.float32),
        item_factors=np.array([[1.0], [2.0]], np.float32),
        activity=np.log1p([1.0, 2.0, 0.0]).astype(np.float32),
        user_times=np.array([0, 86_400, 0]),
        item_times=np.array([0, 86_400]),
        users_of_items=SparseRows(
            np.array([0, 2, 3]), np.array([0, 1, 1], np.int32), np.array([1.0, 0.5, 1.0], np.float32)
        ),
        weights=weights,
    )


@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 1500, 1999, 2000, 5000])
def test_the_best_of_few_and_of_many_are_those_that_sorting_finds(size):
    drawn = np.random.default_rng(size)
    scores = drawn.integers(0, 300, 2000).astype(np.float32)  # with many that are equal
    scores[drawn.permutation(2000)[:400]] = -np.inf
    expected = np.lexsort((np.arange(2000), -scores))[: min(size, 1600)]

    assert best_users(scores, size).tolist() == expected.tolist()


def test_nobody_is_best_of_none():
    assert best_users(np.full(5, -np.inf, np.float32), 3).tolist() == []
    assert best_users(np.full(5, -np.inf, np.float32), 3000).tolist() == []


def test_many_segments_are_those_of_each_alone_in_blocks_that_memory_allows(monkeypatch):
    monkeypatch.setattr(score, "_SCORES_AT_ONCE", 7)  # of three users: two segments at a time
    made = scorer(weights=Weights(activity=0.1, earlier_use=0.25, period=0.5))
    names = [Vocabulary.build(f"{kind}{number}" for number in range(count)) for kind, count in (("i", 2), ("u", 3))]
    segments = ItemSegments(made, items=names[0], users=names[1])
    queries = [np.array([item], np.int32) for item in (0, 1, 1, 0, 1)]
    allowed = [None, np.array([True, False, True]), None, np.zeros(3, bool), None]

    ranked = [users.tolist() for users in segments.rank(queries, 3, allowed=allowed)]

    everybody = [np.argsort(-made.of_item(int(query[0])), kind="stable").tolist() for query in queries]
    assert ranked[0] == everybody[0]
    assert ranked[1] == [user for user in everybody[1] if user != 1]
    assert ranked[2:] == [everybody[2], [], everybody[4]]


def test_scores_for_an_item_add_up():
    made = scorer(weights=Weights(activity=0.1, earlier_use=0.25, period=0.5))
    expected = [
        2.0 + 0.1 * np.log(2) - 0.5 * np.log(2),
        1.0 + 0.1 * np.log(3) + 0.25,
        -0.5 * np.log(2),
    ]
    np.testing.assert_allclose(made.of_item(1), expected, rtol=1e-6)


def test_scores_for_attributes_add_up():
    made = scorer(weights=Weights(activity=0.1, earlier_use=2.0, period=0.0))
    expected = [
        np.log(4) + 0.1 * np.log(2) + 2.0 * np.log(2),
        np.log(2.5) + 0.1 * np.log(3) + 2.0 * np.log(2.5),
        0.0,
    ]
    np.testing.assert_allclose(made.of_items(np.array([0, 1])), expected, rtol=1e-6)


def test_users_who_are_left_out_are_in_no_segment():
    made = scorer(weights=Weights(activity=0.0, earlier_use=-np.inf, period=0.0))
    assert made.of_item(0).tolist() == [-np.inf, -np.inf, 0.0]


def test_files_of_different_sizes_are_corrupt(tmp_path):
    scorer(weights=Weights(0.0, 0.0, 0.0)).save(tmp_path)
    assert SegmentScorer.load(tmp_path).weights == Weights(0.0, 0.0, 0.0)
    np.save(tmp_path / "known_users.npy", np.zeros(1, np.int32))
    with pytest.raises(CorruptArtifact, match=r"known_users.npy`: got 1, want 3"):
        SegmentScorer.load(tmp_path)


def test_the_newest_fifth_of_each_user_is_hidden():
    users = np.repeat([0, 1, 2], [10, 4, 5])
    data = TrainingData(Interactions.sort(users, item=np.arange(19) % 7, timestamp=np.arange(19)), 3, 7)
    split = hold_out_newest(data)
    assert split.hidden.lengths().tolist() == [2, 0, 1]
    assert split.hidden.items.tolist() == [1, 2, 4]
    assert len(split.training.interactions) == 16
    assert [(question.items.tolist(), question.users.tolist()) for question in item_questions(split)] == [
        ([1], [0]),
        ([2], [0]),
        ([4], [2]),
    ]


def test_short_histories_hide_their_last_step_where_nothing_else_is():
    data = TrainingData(
        Interactions.sort(np.array([0, 0, 1]), item=np.array([0, 1, 0]), timestamp=np.array([1, 2, 3])), 2, 2
    )
    assert hold_out_newest(data).hidden.lengths().tolist() == [1, 0]
    with pytest.raises(InvalidInput, match="no user with two"):
        hold_out_newest(data.where(np.array([True, False, True])))


def test_hits_and_recall_are_counted_in_the_first_hundredth():
    users = np.repeat(np.arange(200), 5)
    data = TrainingData(
        Interactions.sort(users, item=np.tile(np.arange(5), 200), timestamp=np.tile(np.arange(5), 200)), 200, 5
    )
    (question,) = item_questions(hold_out_newest(data))
    scores = np.arange(200, 0, -1).astype(np.float32)
    assert evaluate([question], lambda _: scores, n_users=200).named() == pytest.approx(
        {"coverage": 0.01, "hits_at_1_percent": 2.0, "recall_at_1_percent": 0.01}
    )
    wrong = question._replace(users=np.array([0, 150], np.int32))
    assert evaluate([question, wrong], lambda _: scores, n_users=200).named() == pytest.approx(
        {"coverage": 0.01, "hits_at_1_percent": 1.5, "recall_at_1_percent": (0.01 + 0.5) / 2}
    )


def test_users_in_segments_earn_what_their_places_earn():
    first, second = (
        Question(np.array([item], np.int32), np.array(users, np.int32)) for item, users in ((0, [0]), (1, [0, 3]))
    )
    ranked = {0: [0, 1], 1: [0, 2]}

    def scores(question):
        of_users = np.full(200, -np.inf, np.float32)
        of_users[ranked[int(question.items[0])]] = [2.0, 1.0]
        return of_users

    users = evaluate([first, second], scores, n_users=200).users

    # Two places of four are right; user 0 has both, and the segments of the first question count twice in recall.
    assert users.values().tolist() == pytest.approx([1.0, 0.75])
    assert users.gains.tolist() == [[2.0, 1.5], [0.0, 0.0], [0.0, 0.0]]
    assert users.weights.tolist() == [[1.0, 1.0], [0.5, pytest.approx(2 / 3)], [0.5, pytest.approx(1 / 3)]]
    # As often as user 0 is drawn, so many places are right: all of them at best, and not more than there are.
    assert users.values(np.array([[3.0, 0.0, 0.0], [0.0, 1.0, 2.0]])).tolist() == [[2.0, 1.5], [0.0, 0.0]]


def test_segments_of_nobody_find_nobody():
    question = Question(np.array([0], np.int32), np.array([1], np.int32))
    nobody = evaluate([question], lambda _: np.full(200, -np.inf, np.float32), n_users=200)
    assert nobody.named() == {"coverage": 0.0, "hits_at_1_percent": 0.0, "recall_at_1_percent": 0.0}


def test_intervals_of_segments_hold_what_other_users_give():
    """Users like items of their group, and use more or less of everything; two in three have left."""
    groups, size = 5, 500

    def measured(seed):
        random = np.random.default_rng(seed)
        taste, activity = random.integers(0, groups, size), random.lognormal(0.0, 1.0, size)
        likely = np.where(taste[:, None] == np.arange(groups), 1.0, 0.2) * activity[:, None]
        used = random.random((size, groups)) < 1 - np.exp(-likely * (random.random(size) < 0.33)[:, None])
        questions = [Question(np.array([item], np.int32), np.flatnonzero(used[:, item])) for item in range(groups)]
        ranked = likely.astype(np.float32)
        return evaluate(questions, lambda question: ranked[:, question.items[0]], n_users=size).users

    made = [measured(seed) for seed in range(150)]
    true = np.mean([users.values() for users in made], axis=0)
    ends = np.array([interval(users, seed=seed, samples=300) for seed, users in enumerate(made)])
    held = ((ends[:, 0] <= true) & (true <= ends[:, 1])).mean(axis=0)
    assert ((held > 0.88) & (held < 0.99)).all(), held


def test_questions_of_attributes_are_answered_by_their_users():
    split = hold_out_newest(tastes())
    questions = attribute_questions(split, Attributes.of_columns(metadata(), n_items=N_ITEMS))
    assert len(questions) == 5  # four tastes and `Even`
    assert {user % 4 for user in questions[1].users.tolist()} == {1}


@pytest.fixture
def attributes():
    return Attributes.of_columns(
        Columns(
            categorical={
                "GENRES": CategoricalColumn.of_values([["Drama", "Comedy"], ["Comedy"], [], ["Drama"]]),
                "brand": CategoricalColumn.of_values([["a=b"], [], ["Comedy"], []]),
            },
            numeric={"YEAR": np.array([1995.0, np.nan, 1995.0, 1996.5])},
            textual={"PLOT": ("a", "b", None, "c")},
        ),
        n_items=4,
    )


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('ITEMS.Genres = "Comedy"', [0, 1]),
        ('ITEMS.BRAND = "Comedy"', [2]),
        ('ITEMS.BRAND = "a=b"', [0]),
        ("ITEMS.YEAR = 1995", [0, 2]),
        ('ITEMS.YEAR = 1996.5 AND ITEMS.GENRES = "Drama"', [3]),
    ],
)  # fmt: skip
def test_items_are_found_by_attributes(attributes, text, items, tmp_path):
    assert attributes.find(text).tolist() == items
    attributes.save(tmp_path)
    assert Attributes.load(tmp_path, n_items=4).find(text).tolist() == items


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('ITEMS.PLOT = "a"', "want a column of Items: one of GENRES, BRAND, YEAR"),
        ('ITEMS.GENRES = "comedy"', "got \"GENRES = 'comedy'\", want a value of that column"),
        ("ITEMS.GENRES = 3", "want a value of that column"),
        ('ITEMS.YEAR = "1995"', "want a value of that column"),
        ('ITEMS.GENRES = "Comedy" AND ITEMS.YEAR = 1996.5', "want attributes that an item had at the training"),
    ],
)
def test_attributes_that_nothing_has_are_refused(attributes, text, message):
    with pytest.raises(InvalidInput, match=message):
        attributes.find(text)


def test_attributes_of_another_catalogue_are_corrupt(attributes, tmp_path):
    attributes.save(tmp_path)
    with pytest.raises(CorruptArtifact, match="those of one catalogue"):
        Attributes.load(tmp_path, n_items=5)
