"""The protocols of collaborative filtering read, divide and measure as they say."""

import gzip

import numpy as np
import polars as pl
import pytest

from benchmarks.quality import item_to_item, strong_generalisation
from benchmarks.quality.data import DATA_ROOT
from benchmarks.quality.sets import HiddenSets, ease, find_folder, ndcg_at, ranked_hits, recall_at
from common.errors import InvalidInput
from tests.recipes.suite import make_data

#: Two groups of items that nobody mixes.
GROUPS = [[0, 1, 2], [1, 2, 0], [0, 2, 1], [3, 4, 5], [4, 5, 3], [5, 3, 4]] * 5


def as_lists(histories):
    return [histories.of(user).items.tolist() for user in range(len(histories))]


def write_split(folder, train, test):
    (folder / "train.txt").write_text(train)
    with gzip.open(folder / "test.txt.gz", "wt") as file:
        file.write(test)


def grouped():
    shown = make_data([[0, 1], [3, 4]], n_items=6)
    hidden = make_data([[2], [5]], n_items=6)
    return HiddenSets(make_data(GROUPS, n_items=6), shown.histories(), hidden.histories())


def test_a_published_split_is_read(tmp_path):
    write_split(tmp_path, "0 3 1\n1 2\n2 0\n", "0 4 4\n1\n2 1 3\n")
    split = item_to_item.read_split(tmp_path)
    assert as_lists(split.training.histories()) == [[3, 1], [2], [0]]
    assert (as_lists(split.histories), as_lists(split.relevant)) == ([[3, 1], [0]], [[4], [1, 3]])
    assert (split.training.n_users, split.training.n_items) == (3, 5)


def test_a_split_without_test_items_is_told(tmp_path):
    (tmp_path / "train.txt").write_text("0 1\n")
    with pytest.raises(InvalidInput, match=r"which has no test\.txt"):
        item_to_item.read_split(tmp_path)


def test_a_line_of_words_is_named(tmp_path):
    write_split(tmp_path, "0 1\n1 x\n", "0 2\n")
    with pytest.raises(InvalidInput, match=r"`train\.txt:2`: got '?1 x'?, want a user and items"):
        item_to_item.read_split(tmp_path)


def test_folders_are_looked_up_below_that_of_the_environment(tmp_path, monkeypatch):
    (tmp_path / "gowalla").mkdir()
    monkeypatch.setenv(DATA_ROOT, str(tmp_path))
    assert find_folder("gowalla") == tmp_path / "gowalla"


def test_an_absent_folder_is_told_with_what_to_set(monkeypatch):
    monkeypatch.delenv(DATA_ROOT, raising=False)
    with pytest.raises(InvalidInput, match=f"got none, which is no folder.*{DATA_ROOT} set to the folder"):
        find_folder("none")


def test_recall_has_two_divisors():
    hits = np.array([[True, False], [True, True]])
    hidden = np.array([1, 4])
    assert recall_at(2, hits, hidden, divisor="hidden") == (1 / 1 + 2 / 4) / 2
    assert recall_at(2, hits, hidden, divisor="reachable") == (1 / 1 + 2 / 2) / 2


def test_gains_are_divided_by_those_of_the_best_list_possible():
    hits = np.array([[False, True], [True, True]])
    assert ndcg_at(2, hits, np.array([1, 4])) == pytest.approx((1 / np.log2(3) + 1.0) / 2)


def test_a_list_shorter_than_asked_for_counts_as_it_is():
    assert ndcg_at(3, np.array([[True, False]]), np.array([1])) == 1.0


def test_shown_items_are_not_ranked():
    split = grouped()
    hits = ranked_hits(
        lambda rows: np.array([[9, 8, 7, 0, 0, 0], [0, 0, 0, 9, 8, 7]], np.float32)[rows], split, limit=1
    )
    assert hits.tolist() == [[True], [True]]


def test_ease_finds_what_belongs_together():
    split = grouped()
    assert ranked_hits(ease(split.training, split.histories, penalty=1.0), split, limit=1).all()


@pytest.mark.parametrize("users", [5, 40])
def test_ease_is_the_published_one_with_few_users_and_with_many(users):
    drawn = np.random.default_rng(users)
    used = [drawn.permutation(12)[:4].tolist() for _ in range(users)]
    data = make_data(used, n_items=12)
    matrix = np.array([[item in items for item in range(12)] for items in used], np.float64)
    inverse = np.linalg.inv(matrix.T @ matrix + 2.0 * np.eye(12))
    weights = (1.0 - np.eye(12)) * (-inverse / np.diag(inverse))
    scores = ease(data, data.histories(), penalty=2.0)(slice(1, 4))
    np.testing.assert_allclose(scores, matrix[1:4] @ weights, atol=1e-4)


@pytest.mark.parametrize("name", ["aws-sims", "aws-similar-items"])
def test_recipes_find_what_belongs_together(name):
    hyperparameters = {"max_item_interaction_count_percentile": "1"} if name == "aws-sims" else {}
    figures = item_to_item.measure(name, grouped(), hyperparameters=hyperparameters, seed=0)
    assert (figures["recall_at_20"], figures["ndcg_at_20"]) == (1.0, 1.0)


def ratings(users=20, items=10):
    return pl.DataFrame(
        {
            "user": np.repeat(np.arange(users), items),
            "item": np.tile(np.arange(items), users),
            "rating": np.full(users * items, 5),
            "timestamp": np.arange(users * items),
        }
    )


def test_ratings_are_read_by_their_usual_names(tmp_path):
    (tmp_path / "ratings.csv").write_text("user_id,movie_id,rating,timestamp,extra\n7,8,4,100,x\n")
    assert strong_generalisation.read_ratings(tmp_path).to_dicts() == [
        {"user": 7, "item": 8, "rating": 4, "timestamp": 100}
    ]


def test_a_table_without_ratings_is_told(tmp_path):
    (tmp_path / "ratings.csv").write_text("user_id,movie_id,timestamp\n7,8,100\n")
    with pytest.raises(InvalidInput, match="want one called rating"):
        strong_generalisation.read_ratings(tmp_path)


def test_a_folder_without_a_table_is_told(tmp_path):
    with pytest.raises(InvalidInput, match="with 0 files"):
        strong_generalisation.read_ratings(tmp_path)


def test_tested_users_are_unknown_and_a_fifth_of_their_items_is_hidden():
    split = strong_generalisation.strong_generalisation(ratings(), held_out=3)
    assert (split.training.histories().lengths() > 0).sum() == 20 - 2 * 3
    assert split.histories.lengths().tolist() == [8] * 3
    assert split.relevant.lengths().tolist() == [2] * 3
    assert all(
        len(np.intersect1d(split.histories.of(row).items, split.relevant.of(row).items)) == 0 for row in range(3)
    )


def test_users_to_choose_by_are_others_than_those_that_are_tested():
    tested, chosen = (
        strong_generalisation.strong_generalisation(ratings(), held_out=3, validation=validation)
        for validation in (False, True)
    )
    assert as_lists(tested.training.histories()) == as_lists(chosen.training.histories())
    assert not np.intersect1d(tested.histories.times // 10, chosen.histories.times // 10).size


def test_low_ratings_and_users_with_few_high_ones_are_left_out():
    table = ratings().with_columns(
        rating=pl.when((pl.col("user") == 0) & (pl.col("item") > 3)).then(3).otherwise(pl.col("rating"))
    )
    split = strong_generalisation.strong_generalisation(table, held_out=3)
    assert split.training.n_users == 19
