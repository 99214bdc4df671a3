"""The score deltas of many users' histories, worked out one after another in one compiled pass.

It stands in a module of its own, as it is compiled at the import, and who answers single requests has no need of it.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from common.compiled import BYTES, FLOATS, FLOATS_2D, INTS, LONGS, compiled, compiled_for
from recipes.components.history_deltas import (
    delta_values,
    end_of_row,
    in_all,
    lists_no_zeros,
    most_deltas,
    most_weights,
)
from recipes.data.histories import EventTypes, FloatArray, ItemIndexes, Offsets

__all__ = ["fused_deltas_of_users"]

Sums = NDArray[np.float64]
Places = NDArray[np.int32]


@compiled
def _gather(
    items: ItemIndexes,
    rule_offsets: Offsets,
    rule_items: ItemIndexes,
    strengths: FloatArray,
    rule_places: FloatArray,
    offsets: Offsets,
    weight_items: ItemIndexes,
    weights: FloatArray,
    places: FloatArray,
    at: Places,
) -> tuple[ItemIndexes, Sums, Sums, Places, Places]:
    """Do what `history_deltas` does; in the place of its table stands an array of all items that many users share.

    Args:
        items: As of `fused_deltas`, and so are the next eight.
        rule_offsets: Likewise.
        rule_items: Likewise.
        strengths: Likewise.
        rule_places: Likewise.
        offsets: Likewise.
        weight_items: Likewise.
        weights: Likewise.
        places: Likewise.
        at: int32 [n_items], zeros; zeros again afterwards.
    """
    n_items = len(rule_offsets) - 1
    most = most_deltas(items, rule_offsets, len(rule_places)) + most_weights(items, offsets, places)
    if lists_no_zeros(n_items, most):
        return in_all(items, rule_offsets, rule_items, strengths, rule_places, offsets, weight_items, weights, places)
    item_list, at_step = np.empty(most + 1, np.int32), np.full(len(items), -1, np.int32)
    sums, uses = np.zeros(most), np.zeros(most, np.int32)
    spoken = np.zeros(most if len(places) > 0 else 0)
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
        is_last_use = uses[at_step[step]] == 0
        uses[at_step[step]] += 1
        if place < len(rule_places):
            for entry in range(rule_offsets[item], rule_offsets[item + 1]):
                follower = np.uint32(rule_items[entry])
                if follower >= n_items:
                    continue
                item_list[n_listed] = follower  # written over, unless it is new
                listed = at[follower]
                n_listed += listed == 0
                listed = n_listed if listed == 0 else listed
                at[follower] = listed
                sums[listed - 1] += strengths[entry] * rule_places[place]
        if place < len(places) and is_last_use:
            for entry in range(offsets[item], end_of_row(offsets, item, places, place)):
                follower = np.uint32(weight_items[entry])
                if follower >= n_items:
                    continue
                item_list[n_listed] = follower
                listed = at[follower]
                n_listed += listed == 0
                listed = n_listed if listed == 0 else listed
                at[follower] = listed
                spoken[listed - 1] += weights[entry] * places[place]
        place += 1
    for listed in range(n_listed):
        at[np.uint32(item_list[listed])] = 0
    return item_list[:n_listed], sums[:n_listed], spoken[:n_listed], uses[:n_listed], at_step


@compiled_for(
    LONGS, LONGS, INTS, BYTES, LONGS, INTS, FLOATS, FLOATS, LONGS, INTS, FLOATS, FLOATS, FLOATS_2D, FLOATS,
    numba.float64, numba.float64, numba.float64,
)  # fmt: skip
def fused_deltas_of_users(
    users: NDArray[np.int64],
    history_offsets: Offsets,
    items: ItemIndexes,
    event_types: EventTypes,
    rule_offsets: Offsets,
    rule_items: ItemIndexes,
    strengths: FloatArray,
    rule_places: FloatArray,
    offsets: Offsets,
    weight_items: ItemIndexes,
    weights: FloatArray,
    places: FloatArray,
    recency: FloatArray,
    count: FloatArray,
    rules: float,
    scale: float,
    regression: float,
) -> tuple[Offsets, ItemIndexes, FloatArray]:
    """Do `recipes.components.history_deltas.fused_deltas` for many users.

    Args:
        users: int64 [n], whose histories are read.
        history_offsets: int64 [n_users + 1], where the history of each user begins.
        items: int32 [total], of all histories.
        event_types: uint8 [total], likewise.
        rule_offsets: As of `fused_deltas`.
        rule_items: Likewise.
        strengths: Likewise.
        rule_places: Likewise.
        offsets: Likewise.
        weight_items: Likewise.
        weights: Likewise.
        places: Likewise.
        recency: Likewise.
        count: Likewise.
        rules: Likewise.
        scale: Likewise.
        regression: Likewise.

    Returns:
        int64 [n + 1], where the deltas of each of `users` begin; and the items and values of all, one user's after
        another's.
    """
    begins, at = np.zeros(len(users) + 1, np.int64), np.zeros(len(rule_offsets) - 1, np.int32)
    used_places = rule_places if rules != 0.0 else rule_places[:0]
    size, delta_items, values = 0, np.empty(64, np.int32), np.empty(64, np.float32)
    for row in range(len(users)):
        begin, end = history_offsets[users[row]], history_offsets[users[row] + 1]
        of_user, sums, spoken, uses, at_step = _gather(
            items[begin:end], rule_offsets, rule_items, strengths, used_places, offsets, weight_items, weights, places,
            at,
        )  # fmt: skip
        added = delta_values(
            sums, spoken, items[begin:end], event_types[begin:end], uses, at_step, recency, count, np.float32(rules),
            np.float32(scale), np.float32(regression),
        )  # fmt: skip
        while size + len(of_user) > len(values):
            delta_items, values = np.concatenate((delta_items, delta_items)), np.concatenate((values, values))
        delta_items[size : size + len(of_user)], values[size : size + len(of_user)] = of_user, added
        size += len(of_user)
        begins[row + 1] = size
    return begins, delta_items[:size].copy(), values[:size].copy()
