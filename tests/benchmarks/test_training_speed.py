"""The comparison of training hands over the right data and reads the other side's lists as ranks."""

from __future__ import annotations

import numpy as np

from benchmarks.quality.leave_one_out import leave_one_out
from benchmarks.quality.training_speed import Point, list_ranks, seconds_to, write_data
from tests.recipes.suite import make_data


def test_ranks_are_places_in_the_lists():
    lists = np.array([[7, 3, 5], [1, 2, 9], [4, -1, -1]])

    assert list_ranks(lists, np.array([5, 8, 4])).tolist() == [3, 4, 1]


def test_the_first_point_that_reaches_the_level_counts():
    points = [Point(1.0, 2.0, 0.1), Point(2.0, 4.0, 0.3), Point(3.0, 6.0, 0.25)]

    assert seconds_to(points, 0.2) == points[1]
    assert seconds_to(points, 0.31) is None


def test_what_is_tested_is_in_neither_file_that_it_is_foretold_from(tmp_path):
    data = make_data([[3, 1, 0, 2], [4, 0]], n_items=5)

    write_data(leave_one_out(data), np.array([0]), tmp_path)

    assert np.loadtxt(tmp_path / "learnt.csv", delimiter=",", skiprows=1, dtype=int).tolist() == [
        [0, 3, 0], [0, 1, 1], [1, 4, 0], [1, 0, 1],
    ]  # fmt: skip
    assert np.loadtxt(tmp_path / "shown.csv", delimiter=",", skiprows=1, dtype=int).tolist() == [
        [0, 3, 0], [0, 1, 1], [0, 0, 2], [1, 4, 0], [1, 0, 1],
    ]  # fmt: skip
    assert np.load(tmp_path / "tested.npy").tolist() == [0]
