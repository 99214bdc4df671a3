"""Metadata columns."""

from __future__ import annotations

import numpy as np

from recipes.data.columns import CategoricalColumn, Columns


def test_categories_are_numbered_in_order_and_keep_their_rows() -> None:
    column = CategoricalColumn.of_values([("war", "drama"), (), ("drama",)])
    assert column.categories == ("drama", "war")
    assert column.codes.tolist() == [1, 0, 0]
    assert column.rows().tolist() == [0, 0, 2]
    assert len(column) == 3


def test_a_column_without_any_value_has_no_categories() -> None:
    column = CategoricalColumn.of_values([(), ()])
    assert column.categories == ()
    assert column.rows().tolist() == []


def test_columns_are_true_when_there_is_something_to_learn_from() -> None:
    assert not Columns()
    assert not Columns(created=np.zeros(2, np.int64))
    assert Columns(numeric={"PRICE": np.zeros(2)})
