"""Users' columns are coded as documented, and tell those apart whose histories say little or nothing."""

from dataclasses import replace

import numpy as np
import pytest

from recipes.catalog import get_recipe
from recipes.components.context import Context, ContextCodes, ContextTable
from recipes.components.user_features import UserFeatureTable, encode_users, first_gates, gate_buckets, learn_user_codes
from recipes.data.columns import CategoricalColumn, Columns
from recipes.data.histories import Histories, History
from recipes.data.training_data import Interactions, TrainingData
from recipes.ports import UsesSideFeatures
from recipes.registry import make_fitter, open_scorer, read_config
from recipes.retrieval.scoring import embed_users, user_codes_of

CLUBS = [["red", "old"]] * 6 + [["blue"]] * 8 + [["rare"]] * 4 + [[]]
PEOPLE = Columns(
    categorical={"CLUBS": CategoricalColumn.of_values(CLUBS)},
    numeric={"AGE": np.append(np.arange(18.0), np.nan)},
)


@pytest.fixture
def meaning():
    return learn_user_codes(PEOPLE)


def test_categories_of_few_users_have_no_code(meaning):
    assert meaning.names == ("CLUBS", "AGE")
    assert meaning.values[:4] == ("", "blue", "old", "red")
    codes = encode_users(meaning, PEOPLE, n_users=19)
    assert codes[:, :2].tolist() == [[2, 3]] * 6 + [[1, 0]] * 8 + [[0, 0]] * 5


def test_ranges_of_numbers_have_users_enough(meaning):
    ages = encode_users(meaning, PEOPLE, n_users=19)[:, 2]
    assert ages[-1] == 0
    assert np.unique(ages[:-1], return_counts=True)[1].tolist() == [6, 6, 6]


def test_the_most_frequent_categories_of_a_user_count():
    wide = Columns({"TAGS": CategoricalColumn.of_values([[f"t{n}" for n in range(9)]] * 5 + [["t8"]])})
    meaning = learn_user_codes(wide)
    codes = encode_users(meaning, wide, n_users=6)
    assert codes.shape == (6, 8)
    assert [meaning.values[code] for code in codes[0]] == ["t8", *(f"t{n}" for n in range(7))]
    assert codes[5].tolist() == [1] + [0] * 7


def test_columns_that_are_gone_or_of_another_type_tell_nothing(meaning):
    other = Columns({"AGE": CategoricalColumn.of_values([["3"]]), "NEW": CategoricalColumn.of_values([["red"]])})
    assert not encode_users(meaning, other, n_users=1).any()
    assert encode_users(meaning, Columns(), n_users=3).shape == (3, 0)
    assert not encode_users(meaning, Columns(numeric={"CLUBS": np.array([1.0])}), n_users=1).any()


def test_without_anything_to_tell_users_by_there_are_no_codes():
    assert learn_user_codes(Columns()) is None
    assert learn_user_codes(Columns({"CLUBS": CategoricalColumn.of_values([["a"], ["b"]])})) is None


N_ITEMS, SHELF, KNOWN, SHORT = 40, 20, 160, 10
SMALL = {
    "aws-user-personalization-v2": {"embedding_size": "16", "layers": "1"},
    "aws-user-personalization": {"hidden_dimension": "32"},
}
COMMON = {"epochs": "12", "patience": "12", "max_length": "8", "learning_rate": "0.01", "validation_targets": "60"}


def shoppers(*, with_columns=True):
    """Let two groups use two shelves of items; half of each begins with an item that both groups use.

    The last users: first `SHORT` with that one item alone, then `SHORT` with nothing; users take turns in the groups.
    """
    random = np.random.default_rng(3)
    shelves = [random.permutation(np.arange(1, SHELF))[:6] + SHELF * (user % 2) for user in range(KNOWN)]
    rows = [np.append([0] * (user % 4 < 2), shelf).astype(int) for user, shelf in enumerate(shelves)]
    rows += [np.array([0])] * SHORT + [np.empty(0, int)] * SHORT
    lengths = [len(row) for row in rows]
    times = np.concatenate([np.arange(length) for length in lengths])
    interactions = Interactions.sort(
        np.repeat(np.arange(len(rows)), lengths), item=np.concatenate(rows), timestamp=times
    )
    users = Columns({"GROUP": CategoricalColumn.of_values([[("even", "odd")[user % 2]] for user in range(len(rows))])})
    return TrainingData(interactions, len(rows), N_ITEMS, users=users if with_columns else Columns())


def fit(name, data):
    declared = get_recipe(name)
    made = make_fitter(declared, read_config(declared, SMALL[name] | COMMON), seed=1)
    made.fit(data)
    return made.extend(data)


@pytest.fixture(scope="module", params=list(SMALL))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def knowing(name):
    return fit(name, shoppers())


def right_shares(scorer, data, users):
    """Return which share of each user's first ten items is on the shelf of the user's group."""
    histories = data.histories().take(users)
    codes = user_codes_of(scorer, data.users, n_users=data.n_users)
    queries = embed_users(scorer, histories, user_codes=None if codes is None else codes[users])
    scores = queries @ scorer.item_vectors.T
    for row in range(len(users)):
        deltas = scorer.score_deltas(histories.of(row))
        scores[row, deltas.items] += deltas.values
    scores[:, [0, SHELF]] = -np.inf
    best = np.argsort(-scores, axis=1)[:, :10]
    return (best // SHELF == users[:, None] % 2).mean(axis=1)


def test_gates_are_of_lengths_and_the_last_one_holds_beyond():
    assert gate_buckets(np.array([0, 1, 2, 3, 4, 7, 8, 1000])).tolist() == [0, 1, 2, 2, 3, 3, 4, 10]
    gates = first_gates(7)
    assert gates.tolist() == pytest.approx([1, 1 / 2, 1 / 3, 1 / 5])
    codes = ContextCodes.of({"CLUB": ["a"] * 9})
    table = UserFeatureTable(ContextTable(codes, np.ones((2, 3), np.float32)), gates)
    added = table.of_codes(np.array([[1], [1], [1], [0]], np.int32), np.array([0, 5, 99, 0]))
    assert added[:, 0].tolist() == pytest.approx([1, 1 / 5, 1 / 5, 0])


@pytest.mark.parametrize("begin", [KNOWN, KNOWN + SHORT], ids=["one item", "no items"])
def test_columns_tell_what_short_histories_do_not(name, knowing, begin):
    users = np.arange(begin, begin + SHORT)
    data = shoppers()
    assert isinstance(knowing, UsesSideFeatures)
    assert right_shares(knowing, data, users).min() > 0.9
    blind = shoppers(with_columns=False)
    ignorant = fit(name, blind)
    assert ignorant.user_features is None
    assert right_shares(ignorant, blind, users).mean() == pytest.approx(0.5)


def test_users_who_are_not_known_get_something_between(knowing):
    scores = knowing.item_vectors @ knowing.embed_history(History.of_items([]))
    best = np.argsort(-scores)[:20] // SHELF
    assert 3 <= best.sum() <= 17


def test_what_was_learnt_of_users_is_saved_with_the_model(name, knowing, tmp_path):
    knowing.save(tmp_path)
    loaded = open_scorer(get_recipe(name), tmp_path)
    data, users = shoppers(), np.arange(KNOWN, KNOWN + 2 * SHORT)
    assert loaded.context is None
    assert right_shares(loaded, data, users).tolist() == right_shares(knowing, data, users).tolist()


def test_context_and_columns_of_one_name_are_two_things():
    """GROUP is a column of the users; a column of the interactions has the same name and other uses."""
    data = shoppers()
    hours = {"GROUP": ["even", "odd"] * (len(data.interactions) // 2) + ["even"] * (len(data.interactions) % 2)}
    meaning = ContextCodes.of(hours)
    scorer = fit("aws-user-personalization-v2", replace(data, context=Context(meaning, meaning.encode(hours))))
    users = np.arange(KNOWN + SHORT, KNOWN + 2 * SHORT)
    assert right_shares(scorer, data, users).min() > 0.9
    histories = Histories.gather([History.of_items([])] * 2)
    by_request = embed_users(scorer, histories, meaning.encode({"GROUP": ["even", "odd"]}))
    moved = np.linalg.norm(by_request[0] - by_request[1])
    by_column = embed_users(scorer, histories, user_codes=user_codes_of(scorer, data.users, n_users=data.n_users)[:2])
    assert moved < 0.5 * np.linalg.norm(by_column[0] - by_column[1])
