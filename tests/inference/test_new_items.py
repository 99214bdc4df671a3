"""Indexes of items that came after a model mean the same for as long as anybody may have them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from inference.new_items import NewIds, NewItemList, NewItems
from recipes.models.lsa.score import LSAScorer

names = st.sampled_from([f"n{number}" for number in range(12)])
calls = st.lists(st.tuples(st.sampled_from(["add", "hold", "drop"]), st.lists(names, unique=True)), max_size=30)


@given(calls)
def test_what_was_put_keeps_its_index_and_what_is_held_has_one_of_its_own(steps):
    ids, put, held = NewIds(10, most=6, most_held=4), {}, {}
    for call, listed in steps:
        dropped = [name for name in listed if held.get(name)]
        getattr(ids, call)(dropped if call == "drop" else listed)
        for name in listed:
            index = ids.index(name)
            if call == "add" and index is not None:
                put.setdefault(name, index)
                held.pop(name, None)
            elif call == "hold" and index is not None and name not in put:
                held[name] = held.get(name, 0) + 1
            elif call == "drop" and held.get(name):
                held[name] -= 1
        present = put | {name: ids.index(name) for name, holders in held.items() if holders}
        assert {name: ids.index(name) for name in present} == present
        assert len(set(present.values())) == len(present)
        assert all(ids.id(index) == name for name, index in present.items())
        assert all(ids.index(name) is None for name, holders in held.items() if not holders)
        assert all(10 <= index < 10 + len(ids) for index in present.values())


def test_an_index_that_nobody_holds_rests_before_another_id_gets_it():
    ids = NewIds(5, most_held=2)
    ids.hold(["a", "b"])
    ids.drop(["a"])
    ids.hold(["c"])
    assert ids.index("c") == 7  # that of `a` may be in somebody's list still
    ids.drop([])
    ids.drop(["b"])
    ids.hold(["d"])
    assert ids.index("d") == 5


def test_no_more_items_are_taken_than_there_may_be():
    ids = NewIds(5, most=2, most_held=1)
    ids.add(["a", "b", "c"])
    ids.hold(["x", "y"])
    assert [ids.index(name) for name in "abcxy"] == [5, 6, None, 7, None]


def test_items_that_are_gone_make_room_for_others_and_keep_their_indexes():
    ids = NewIds(5, most=2, most_held=1)
    ids.add(["a", "b"])
    ids.hold(["x"])
    ids.leave([5, 7])
    ids.leave([5])  # makes room once
    ids.add(["c", "d"])
    assert [ids.index(name) for name in "abcdx"] == [5, 6, 8, None, 7]

    ids.leave([8])
    ids.add(["a", "d"])  # as it was
    assert [ids.index(name) for name in "abcd"] == [5, 6, 8, None]


def test_the_indexes_of_items_that_come_and_go_are_bounded_and_an_operator_is_told_once():
    ids = NewIds(5, most=2)
    with capture_logs() as logs:
        for day in range(100):
            ids.add([f"{day}-a", f"{day}-b", f"{day}-c"])
            ids.leave(range(5, 5 + len(ids)))
    assert len(ids) == 8
    assert [(entry["event"], entry["most"]) for entry in logs] == [("new_items_wait_for_training", 2)]


def test_what_histories_read_of_new_items_is_not_made_by_a_request():
    new = NewItemList.behind(5)
    new.current = NewItems.of(
        np.array([5, 7], np.int32), vectors=np.ones((2, 3), np.float32), described=np.ones(2, bool),
        created=np.zeros(2, np.int64), clusters=None, first=5,
    )  # fmt: skip
    assert new.current.by_index.tolist() == [[1.0] * 3, [0.0] * 3, [1.0] * 3]
    scorer = LSAScorer(np.ones((5, 3), np.float32))
    assert np.shares_memory(new.read_by(scorer)._new_vectors, new.current.by_index)


def test_only_items_that_something_is_known_of_are_found_by_their_columns():
    new = NewItemList.behind(5)
    new.ids.add(["a", "b", "c"])
    items, described = np.array([5, 7], np.int32), np.array([False, True])
    new.current = NewItems.of(
        items,
        vectors=np.ones((2, 3), np.float32),
        described=described,
        created=np.zeros(2, np.int64),
        clusters=None,
        first=5,
    )
    assert [new.index(name) for name in ("a", "b", "c", "d")] == [5, None, 7, None]
    assert [new.described_index(name) for name in ("a", "b", "c", "d")] == [None, None, 7, None]
