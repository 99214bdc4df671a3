"""The protocol of items that nobody used: what is hidden, what is asked, and that figures are as by hand."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from benchmarks.quality.cold_items import hold_out_items, measure, read, run_chance, run_content, run_later, run_recipe
from common.errors import InvalidInput
from recipes.data.training_data import Interactions, TrainingData


def data_of(rows):
    """Make data of (user, item, time)."""
    user, item, time = (np.array(column) for column in zip(*rows, strict=True))
    return TrainingData(Interactions.sort(user, item=item, timestamp=time), user.max() + 1, 10)


#: Ten items, of which 9 was used first at last.
ROWS = [
    *((0, item, item) for item in range(9)), (0, 9, 50), (0, 1, 60),
    (1, 9, 40), (1, 3, 41),
    (2, 4, 42), (2, 5, 70),
    (3, 2, 10), (3, 9, 55), (3, 8, 56), (3, 7, 54),
]  # fmt: skip


def test_everything_from_the_first_cold_item_on_is_hidden():
    split = hold_out_items(data_of(ROWS), timed=True, seed=0)

    assert np.flatnonzero(split.cold).tolist() == [9]
    learnt = split.training.interactions
    assert sorted(zip(learnt.user.tolist(), learnt.item.tolist(), strict=True)) == [
        *((0, item) for item in range(9)), (2, 4), (2, 5), (3, 2), (3, 7),
    ]  # fmt: skip
    assert len(split.histories) == 2, "of user 1 nothing is known before"
    assert [split.histories.of(row).items.tolist() for row in range(2)] == [list(range(9)), [2, 7]]
    assert [split.hidden_cold.of(row).items.tolist() for row in range(2)] == [[9], [9]]
    assert [split.hidden_warm.of(row).items.tolist() for row in range(2)] == [[], [8]], "user 0 used item 1 before"


def test_figures_are_those_of_a_list_by_hand():
    split = hold_out_items(data_of(ROWS), timed=True, seed=0)
    scores = np.array([np.arange(10), np.arange(10)[::-1]], np.float32)

    metrics_by_name = measure(lambda rows: scores[rows].copy(), split, related=lambda item: np.zeros(10, np.float32))

    assert metrics_by_name["cold_among_cold_recall_at_10"] == 1.0
    assert metrics_by_name["cold_among_all_recall_at_10"] == 1.0
    assert metrics_by_name["warm_among_all_recall_at_10"] == 1.0
    assert "neighbours_found" not in metrics_by_name, "no cold item has ten users"


@pytest.fixture
def shelf(tmp_path):
    """Write sequences of two kinds of items, and the kind of each."""
    folder = tmp_path / "s3rec-Toys"
    folder.mkdir()
    random = np.random.default_rng(2)
    lines = [
        f"{user} " + " ".join(str(item) for item in random.permutation(20)[:6] + 20 * (user % 2)) for user in range(90)
    ]
    (folder / "Toys.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    kinds = {str(item): [item // 20, 7] for item in range(39)}
    (folder / "Toys_item2attributes.json.gz").write_bytes(gzip.compress(json.dumps(kinds).encode()))
    return folder


def test_items_of_a_kind_are_found_by_their_columns(shelf):
    data, timed = read(shelf)
    assert (timed, data.n_items) == (False, 40)
    split = hold_out_items(data, timed=timed, seed=0)
    assert split.cold.sum() == 4
    assert not np.isin(split.training.interactions.item, np.flatnonzero(split.cold)).any()

    runs = [run_recipe("aws-similar-items", split, columns=columns, hyperparameters={}) for columns in (False, True)]
    content, chance = run_content(split), run_chance(split, seed=0)
    later = run_later("aws-similar-items", split, hyperparameters={})

    assert runs[1]["neighbours_found"] > runs[0]["neighbours_found"]
    assert later["neighbours_found"] > max(runs[0]["neighbours_found"], chance["neighbours_found"])
    assert later["cold_among_all_recall_at_50"] == 1.0
    assert min(runs[1]["cold_among_all_recall_at_50"], content["cold_among_cold_recall_at_10"]) == 1.0


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="want ml-1m"):
        read(tmp_path)
