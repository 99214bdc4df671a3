"""The score deltas of many users' histories, worked out one after another in one compiled pass.

It stands in a module of its own, as it is compiled at the import, and who answers single requests has no need of it.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from common.compiled import BYTES, FLOATS, FLOATS_2D, INTS, LONGS, compiled, compiled_for
from recipes.components.history_deltas import delta_values, lists_no_zeros, most_deltas
from recipes.data.histories import EventTypes, FloatArray, ItemIndexes, Offsets

__all__ = ["fused_deltas_of_users"]

Sums = NDArray[np.float64]
Places = NDArray[np.int32]


@compiled
def _without_zeros(item_list: ItemIndexes, sums: Sums, uses: Places, at_step: Places) -> int:
    """Move what is used or led to to the front, in order; return how many these are."""
    kept, new_places = 0, np.empty(len(item_list), np.int32)
    for place in range(len(item_list)):
        item_list[kept], sums[kept], uses[kept], new_places[place] = item_list[place], sums[place], uses[place], kept
        kept += (sums[kept] != 0.0) | (uses[kept] != 0)
    for step in range(len(at_step)):
        if at_step[step] >= 0:
            at_step[step] = new_places[at_step[step]]
    return kept


@compiled
def _gather(
    items: ItemIndexes, offsets: Offsets, rule_items: ItemIndexes, strengths: FloatArray, places: FloatArray, at: Places
) -> tuple[ItemIndexes, Sums, Places, Places]:
    """Do what `history_deltas` does by a table, with an array of the whole catalogue that many users share.

    Args:
        items: As of `fused_deltas`, and so are the next four.
        offsets: Likewise.
        rule_items: Likewise.
        strengths: Likewise.
        places: Likewise.
        at: int32 [n_items], zeros; zeros again afterwards.
    """
    n_items, most = len(offsets) - 1, most_deltas(items, offsets, len(places))
    item_list, at_step = np.empty(most + 1, np.int32), np.full(len(items), -1, np.int32)
    sums, uses = np.zeros(most), np.zeros(most, np.int32)
    n_listed, place = 0, 0
    for step in range(len(items) - 1, -1, -1):
        item = items[step]
        if not 0 <= item < n_items:
            continue
        if at[item] == 0:
            item_list[n_listed] = item
            n_listed += 1
            at[item] = n_listed
        at_step[step] = at[item] - 1
        uses[at_step[step]] += 1
        if place < len(places):
            for entry in range(offsets[item], offsets[item + 1]):
                follower = np.uint32(rule_items[entry])
                if follower >= n_items:
                    continue
                item_list[n_listed] = follower  # written over, unless it is new
                listed = at[follower]
                n_listed += listed == 0
                listed = n_listed if listed == 0 else listed
                at[follower] = listed
                sums[listed - 1] += strengths[entry] * places[place]
        place += 1
    for listed in range(n_listed):
        at[np.uint32(item_list[listed])] = 0
    if lists_no_zeros(n_items, most):
        # As single users are answered: what has no delta is not looked at for its own sake.
        n_listed = _without_zeros(item_list[:n_listed], sums, uses, at_step)
    return item_list[:n_listed], sums[:n_listed], uses[:n_listed], at_step


@compiled_for(LONGS, LONGS, INTS, BYTES, LONGS, INTS, FLOATS, FLOATS, FLOATS_2D, FLOATS, numba.float64, numba.float64)
def fused_deltas_of_users(
    users: NDArray[np.int64],
    history_offsets: Offsets,
    items: ItemIndexes,
    event_types: EventTypes,
    offsets: Offsets,
    rule_items: ItemIndexes,
    strengths: FloatArray,
    places: FloatArray,
    recency: FloatArray,
    count: FloatArray,
    rules: float,
    scale: float,
) -> tuple[Offsets, ItemIndexes, FloatArray]:
    """Do `recipes.components.history_deltas.fused_deltas` for many users.

    Args:
        users: int64 [n], whose histories are read.
        history_offsets: int64 [n_users + 1], where the history of each user begins.
        items: int32 [total], of all histories.
        event_types: uint8 [total], likewise.
        offsets: As of `fused_deltas`.
        rule_items: Likewise.
        strengths: Likewise.
        places: Likewise.
        recency: Likewise.
        count: Likewise.
        rules: Likewise.
        scale: Likewise.

    Returns:
        int64 [n + 1], where the deltas of each of `users` begin; and the items and values of all, one user's after
        another's.
    """
    begins, at = np.zeros(len(users) + 1, np.int64), np.zeros(len(offsets) - 1, np.int32)
    used_places = places if rules != 0.0 else places[:0]
    size, delta_items, values = 0, np.empty(64, np.int32), np.empty(64, np.float32)
    for row in range(len(users)):
        begin, end = history_offsets[users[row]], history_offsets[users[row] + 1]
        of_user, sums, uses, at_step = _gather(items[begin:end], offsets, rule_items, strengths, used_places, at)
        added = delta_values(
            sums, items[begin:end], event_types[begin:end], uses, at_step, recency, count, np.float32(rules),
            np.float32(scale),
        )  # fmt: skip
        while size + len(of_user) > len(values):
            delta_items, values = np.concatenate((delta_items, delta_items)), np.concatenate((values, values))
        delta_items[size : size + len(of_user)], values[size : size + len(of_user)] = of_user, added
        size += len(of_user)
        begins[row + 1] = size
    return begins, delta_items[:size].copy(), values[:size].copy()
