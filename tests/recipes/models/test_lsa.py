"""Semantic-Similarity passes the contract suite and finds items of like texts, with and without interactions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from common.errors import CorruptArtifact, InvalidInput
from recipes.data.columns import NO_TIME, Columns
from recipes.data.histories import History
from recipes.data.training_data import Interactions, TrainingData
from recipes.models.lsa.config import LSAConfig
from recipes.models.lsa.fit import LSAFitter
from recipes.models.lsa.score import load
from recipes.retrieval.top_k import top_k
from tests.recipes.suite import NOISE_ITEMS, RING, RINGS, RecipeSuite, creatures_of_habit, noise, ring_walks

WORDS = [
    ["dragon", "sword", "magic", "castle"], ["engine", "rocket", "planet", "laser"],
    ["murder", "detective", "clue", "alibi"], ["kitchen", "recipe", "butter", "oven"],
]  # fmt: skip


def texts(n_items):
    """Name items, and write texts of words that those of one kind share."""
    random = np.random.default_rng(7)
    plots = [" ".join(random.choice(WORDS[item // RING % len(WORDS)], 3)) for item in range(n_items)]
    return Columns(textual={"PLOT": tuple(plots)}, names=tuple(f"Film {item}" for item in range(n_items)))


def described(data):
    return replace(data, items=texts(data.n_items))


def fit(data):
    return LSAFitter(LSAConfig(), seed=1).fit(data)


def related(scorer, item, limit):
    history = History.of_items([item])
    scores = scorer.item_vectors @ scorer.embed_history(history)
    delta = scorer.score_deltas(history)
    scores[delta.items] += delta.values
    return top_k(scores, limit).tolist()


class TestSemanticSimilarity(RecipeSuite):
    name = "aws-semantic-similarity"
    relates_items = True
    quality_floor = 0.0  # texts say nothing of what is used next
    uses_randomness = True

    @classmethod
    def ring_data(cls):
        return described(ring_walks())

    @classmethod
    def noise_data(cls):
        return described(noise())

    @classmethod
    def habit_data(cls):
        return described(creatures_of_habit())

    def test_the_history_counts_exactly_where_declared(self, scorer):
        # The item of the request counts; what is declared is about users.
        first, second = (scorer.embed_history(History.of_items([item])) for item in (0, RING))
        assert not np.array_equal(first, second)


def nobody(n_items):
    nothing = np.empty(0, np.int64)
    return TrainingData(Interactions.sort(nothing, item=nothing, timestamp=nothing), 0, n_items)


def test_items_of_like_texts_are_found_without_any_interaction():
    scorer = fit(described(nobody(RINGS * RING)))
    assert {item // RING for item in related(scorer, 3, RING - 1)} == {0}
    assert 3 not in related(scorer, 3, RING - 1)


def test_names_count_beside_texts():
    plots = ("a story of the sea", "a tale of the wood", "a story of the wood", "a tale of the sea")
    columns = Columns(textual={"PLOT": plots}, names=("Moby Dick", "Robin Hood", "Moby Dick II", "Robin Hood II"))
    scorer = fit(replace(nobody(4), items=columns))
    assert related(scorer, 0, 1) == [2]


def test_campaigns_may_ask_for_new_and_for_popular_items():
    columns = Columns(
        textual={"PLOT": ("red car",) * 3 + ("blue ship",) * 3 + ("fast train",) * 3},
        names=("car",) * 3 + ("ship",) * 3 + ("train",) * 3,
        created=np.array([0, 50, 100, 100, 0, 0, 0, 0, 0]),
    )
    users, items = np.arange(6), np.array([1, 1, 1, 2, 3, 3])
    data = TrainingData(Interactions.sort(users, item=items, timestamp=users), 6, 9, items=columns)
    scorer = fit(data)

    assert related(scorer.influenced(freshness=0.5, popularity=0.0), 0, 2) == [2, 1]
    assert related(scorer.influenced(freshness=0.0, popularity=0.5), 0, 2) == [1, 2]
    np.testing.assert_allclose(scorer.item_vectors[:, -2], [0, 0.5, 1, 1, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(scorer.item_vectors[:, -1], np.log([1, 4, 2, 3, 1, 1, 1, 1, 1]) / np.log(4), rtol=1e-6)


def test_items_without_a_time_of_creation_are_as_old_as_their_first_use():
    columns = replace(texts(4), created=np.array([10, NO_TIME, NO_TIME, 30]))
    interactions = Interactions.sort(np.zeros(2, np.int64), item=np.array([1, 1]), timestamp=np.array([20, 25]))
    scorer = fit(TrainingData(interactions, 1, 4, items=columns))
    np.testing.assert_allclose(scorer.item_vectors[:, -2], [0, 0.5, 1, 1])


@pytest.mark.parametrize(
    ("columns", "message"),
    [(Columns(textual={"PLOT": ("a", "b")}), "itemName"), (Columns(names=("a", "b")), "textual field")],
)
def test_names_and_texts_are_needed(columns, message):
    with pytest.raises(InvalidInput, match=message):
        fit(replace(nobody(2), items=columns))


def test_a_file_of_another_form_is_corrupt(tmp_path):
    np.save(tmp_path / "item_vectors.npy", np.zeros((3, 1), np.float32))
    with pytest.raises(CorruptArtifact, match="at least 2 columns"):
        load(tmp_path)


def test_the_suite_has_texts_for_all_of_its_items():
    assert len(texts(NOISE_ITEMS).names) == NOISE_ITEMS


#: The catalogue afterwards: the first item is gone, one is new, and every other has another index.
BEFORE = np.insert(np.arange(1, RINGS * RING), 3, -1)


def catalogue(n_items=RINGS * RING):
    users = np.arange(n_items)
    created = np.arange(n_items, dtype=np.int64) * 100
    uses = Interactions.sort(users, item=users, timestamp=users)
    return TrainingData(uses, n_items, n_items, items=replace(texts(n_items), created=created))


def later(data):
    """Return the catalogue of `BEFORE`."""
    names, plots, created = data.items.names, data.items.textual["PLOT"], data.items.created
    new = "a detective finds a clue and an alibi"
    columns = Columns(
        textual={"PLOT": tuple(plots[item] if item >= 0 else new for item in BEFORE)},
        names=tuple(names[item] if item >= 0 else "Film new" for item in BEFORE),
        created=np.where(BEFORE >= 0, created[BEFORE], 10**6),
    )
    return replace(nobody(len(BEFORE)), items=columns)


def updated(scorer, data):
    return scorer.updated(BEFORE, data, content=None, seed=1)


def test_an_update_leaves_the_vectors_of_unchanged_items_and_reads_new_ones_by_what_was_learnt(tmp_path):
    data = catalogue()
    scorer = fit(data)
    scorer.save(tmp_path)

    again = updated(load(tmp_path), later(data))

    is_old = BEFORE >= 0
    assert again.item_vectors[is_old].tobytes() == scorer.item_vectors[BEFORE[is_old]].tobytes()
    assert {BEFORE[item] // RING % len(WORDS) for item in related(again, 3, 5)} == {2}
    # As if everything were read anew by the same words.
    learnt = scorer._learnt()
    fields = {"names": later(data).items.names, "texts.PLOT": later(data).items.textual["PLOT"]}
    vectors = learnt.content.of(Columns(textual=fields), n_rows=len(BEFORE))
    np.testing.assert_allclose(
        again.item_vectors[:, :-2], vectors / np.linalg.norm(vectors, axis=1, keepdims=True), rtol=0, atol=1e-6
    )
    assert again.item_vectors[3, -2:].tolist() == [1.0, 0.0]  # newer than all before, and used by nobody


def test_an_update_reads_changed_texts_and_goes_on_from_an_update(tmp_path):
    data = catalogue()
    first = updated(fit(data), later(data))
    first.save(tmp_path)
    plots = list(later(data).items.textual["PLOT"])
    plots[7] = "butter in the oven of the kitchen"
    columns = replace(later(data).items, textual={"PLOT": tuple(plots)})
    same = np.arange(len(BEFORE))

    second = load(tmp_path).updated(same, replace(later(data), items=columns), content=None, seed=1)

    changed = np.flatnonzero((second.item_vectors != first.item_vectors).any(axis=1))
    assert changed.tolist() == [7]
    assert second.item_vectors[7, -2:].tolist() == first.item_vectors[7, -2:].tolist()
    assert {BEFORE[item] // RING % len(WORDS) for item in related(second, 7, 5)} == {3}


def test_an_update_needs_what_was_learnt_and_the_fields_that_it_was_learnt_from(tmp_path):
    data = catalogue()
    scorer = fit(data)
    np.save(tmp_path / "item_vectors.npy", scorer.item_vectors)
    with pytest.raises(InvalidInput, match="the version was trained before there were updates"):
        updated(load(tmp_path), later(data))
    columns = replace(later(data).items, textual={"SUMMARY": later(data).items.textual["PLOT"]})
    with pytest.raises(InvalidInput, match=r"got 'no texts.PLOT', want all fields"):
        updated(scorer, replace(later(data), items=columns))


def test_what_was_learnt_must_fit_together(tmp_path):
    fit(catalogue()).save(tmp_path)
    np.save(tmp_path / "learnt_weights.npy", np.ones(3, np.float32))
    with pytest.raises(CorruptArtifact, match="want as many as weights and directions"):
        updated(load(tmp_path), later(catalogue()))
