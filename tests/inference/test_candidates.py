"""Candidate sets agree with the plain sets of Python that they stand for."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from common.vocabulary import Vocabulary
from inference.candidates import EVERYTHING, Bitmap, ItemList

N_ITEMS = 40
subsets = st.sets(st.integers(0, N_ITEMS - 1))


def is_of(candidates, expected):
    everything = np.arange(N_ITEMS, dtype=np.int32)
    assert candidates.count(N_ITEMS) == len(expected)
    assert sorted(candidates.items(N_ITEMS).tolist()) == sorted(expected)
    assert everything[candidates.contains(everything)].tolist() == sorted(expected)
    assert np.flatnonzero(candidates.mask(N_ITEMS)).tolist() == sorted(expected)
    for some in (everything, everything[::3], everything[:0], everything):
        assert candidates.among(some).tolist() == some[candidates.contains(some)].tolist()


def bitmap(items):
    allowed = np.zeros(N_ITEMS, bool)
    allowed[list(items)] = True
    return Bitmap(allowed)


@given(subsets, subsets, st.integers(0, N_ITEMS - 1))
def test_sets_have_what_they_are_made_of_and_lose_what_is_taken_away(items, removed, item):
    for candidates in (bitmap(items), ItemList(np.array(sorted(items), np.int32))):
        is_of(candidates, items)
        is_of(candidates.without(item), items - {item})
        some = np.array(sorted(removed), np.int32)
        is_of(candidates.without(some), items - removed)
        is_of(candidates.without(some).without(item), items - removed - {item})


class CountedBitmap(Bitmap):
    """Counts the bits that are looked up."""

    looked_up: ClassVar[list[int]] = []

    def contains(self, items):
        self.looked_up.append(len(items))
        return super().contains(items)


def test_bits_of_the_same_items_are_looked_up_once_for_all_requests():
    CountedBitmap.looked_up.clear()
    bits, many = np.arange(90_000) % 50 == 0, np.arange(0, 90_000, 2, dtype=np.int32)
    candidates, first = CountedBitmap(bits), many[many % 50 == 0]
    for removed in (0, 100, 2_000):
        listed = candidates.without(removed).among(many)
        assert listed.tolist() == first[first != removed].tolist()
    assert CountedBitmap.looked_up == [len(many)]
    assert candidates.among(many[1:]).tolist() == first[1:].tolist()  # others are


def test_everything_has_all_items_and_those_that_came_after_the_model():
    is_of(EVERYTHING, set(range(N_ITEMS)))
    is_of(EVERYTHING.without(7), set(range(N_ITEMS)) - {7})
    assert EVERYTHING.without(7).contains(np.array([7, N_ITEMS + 5], np.int32)).tolist() == [False, True]


def test_list_has_new_items_that_something_is_known_of_behind_the_catalogue():
    candidates = ItemList.of_ids(["c", "new", "a", "newer"], Vocabulary.build(["a", "b", "c"]), new={"newer": 7}.get)

    assert candidates.items(3).tolist() == [2, 0]
    assert candidates.count(3) == 2
    assert candidates.items(8).tolist() == [2, 0, 7]
    assert list(candidates.unknown_ids) == ["new"]


def test_bitmap_has_nothing_that_came_after_the_model():
    candidates = bitmap({1, 2})
    assert candidates.contains(np.array([1, 3, N_ITEMS, N_ITEMS + 7], np.int32)).tolist() == [True, False, False, False]
    assert candidates.mask(N_ITEMS + 2).sum() == 2


@given(subsets, st.integers(0, N_ITEMS))
def test_bits_beyond_the_catalogue_mean_nothing(items, n_items):
    candidates = bitmap(items)
    present = [item for item in sorted(items) if item < n_items]
    assert candidates.count(n_items) == len(present)
    assert candidates.items(n_items).tolist() == present


@given(subsets)
def test_packed_bits_are_the_same_set(items):
    bits = np.packbits(bitmap(items).allowed)
    is_of(Bitmap.unpack(bits, n_items=N_ITEMS), items)


def test_list_keeps_the_order_and_tells_which_ids_nobody_knows():
    candidates = ItemList.of_ids(["c", "new", "a", "older"], Vocabulary.build(["a", "b", "c"]))

    assert candidates.items(3).tolist() == [2, 0]
    assert list(candidates.unknown_ids) == ["new", "older"]
    assert candidates.ordered
    assert candidates.restricts
    assert not EVERYTHING.restricts
