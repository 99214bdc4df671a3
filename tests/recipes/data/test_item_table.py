"""A table finds what was put into it, and nothing else, however its entries meet."""

import numpy as np

from recipes.data.item_table import item_table, look_up, place_in


def test_items_are_found_at_the_places_where_they_were_first_put():
    items = np.random.default_rng(1).choice(10**6, 500, replace=False).astype(np.int32)
    table, listed = item_table(len(items)), np.empty(len(items), np.int32)

    first = [place_in(table, listed, count, item) for count, item in enumerate(items.tolist())]
    again = [place_in(table, listed, len(items), item) for item in items.tolist()]

    assert first == again == list(range(500))
    assert listed.tolist() == items.tolist()
    assert [look_up(table, listed, item) for item in items.tolist()] == first
    others = set(range(2000)) - set(items.tolist())
    assert {look_up(table, listed, item) for item in others} == {-1}


def test_an_empty_table_has_nothing():
    assert look_up(item_table(0), np.empty(0, np.int32), 0) == -1
