"""The score deltas of one history, in one compiled pass over its steps and the rules of its newest items.

It says the same as `repeats` and the formula in `score`, which take twenty small NumPy calls to say it. In a catalogue
that is small beside what is added up, sums stand in one array of all items; else in a table by open addressing, so
that the pass costs what the history and its rules have, whatever the catalogue has.
"""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from common.compiled import BYTES, FLOATS, FLOATS_2D, INTS, LONGS, compiled, compiled_for
from recipes.data.histories import EventTypes, FloatArray, ItemIndexes, Offsets
from recipes.data.item_table import item_table, place_in

__all__ = ["COUNT_ENDS", "RECENCY_ENDS", "delta_values", "fused_deltas", "lists_no_zeros", "most_deltas", "rule_sums"]

#: Steps since the last use, up to which each bucket goes; the last bucket holds the rest.
RECENCY_ENDS: Final = (1, 2, 3, 5, 8, 16, 32, 64)
#: Uses, up to which each bucket goes.
COUNT_ENDS: Final = (1, 2, 4)
#: Going through all items costs less than a table while there are at most so many for each value that is added.
_DENSE: Final = 8

Sums = NDArray[np.float64]
Counts = NDArray[np.int32]


@compiled
def _bucket(ends: tuple[int, ...], number: int) -> int:
    """Return the first bucket that goes up to a number at least; the one behind all of them if none does."""
    for bucket in range(len(ends)):
        if number <= ends[bucket]:
            return bucket
    return len(ends)


@compiled
def most_deltas(items: ItemIndexes, offsets: Offsets, n_places: int) -> int:
    """Return how many values there are to be added up at most: steps, and rules of the newest items."""
    most, place = len(items), 0
    for step in range(len(items) - 1, -1, -1):
        item = items[step]
        if place < n_places and 0 <= item < len(offsets) - 1:
            most += offsets[item + 1] - offsets[item]
            place += 1
    return most


@compiled
def lists_no_zeros(n_items: int, most: int) -> bool:
    """Return whether sums stand in arrays of all items, so that an item whose rules add up to nothing is not listed."""
    return n_items <= _DENSE * most


@compiled
def _in_all(
    items: ItemIndexes, offsets: Offsets, rule_items: ItemIndexes, strengths: FloatArray, places: FloatArray
) -> tuple[ItemIndexes, Sums, Counts, Counts]:
    """Add up in arrays of all items; see `_in_table`."""
    n_items = len(offsets) - 1
    sums, uses = np.zeros(n_items), np.zeros(n_items, np.int32)
    place = 0
    for step in range(len(items) - 1, -1, -1):
        item = items[step]
        if not 0 <= item < n_items:
            continue
        uses[item] += 1
        if place < len(places):
            led_to, by = rule_items[offsets[item] : offsets[item + 1]], strengths[offsets[item] : offsets[item + 1]]
            for entry in range(len(led_to)):
                follower = np.uint32(led_to[entry])
                if follower < n_items:
                    sums[follower] += by[entry] * places[place]
        place += 1
    item_list, at = np.empty(n_items, np.int32), np.empty(n_items, np.int32)
    n_listed = 0
    for item in range(n_items):  # without a branch, and without what would wait for the item before
        item_list[n_listed] = item
        at[item] = n_listed
        n_listed += (sums[item] != 0.0) | (uses[item] != 0)
    item_list = item_list[:n_listed].copy()
    at_step = np.full(len(items), -1, np.int32)
    for step in range(len(items)):
        if 0 <= items[step] < n_items:
            at_step[step] = at[items[step]]
    return item_list, sums[item_list], uses[item_list], at_step


@compiled
def _in_table(
    items: ItemIndexes,
    offsets: Offsets,
    rule_items: ItemIndexes,
    strengths: FloatArray,
    places: FloatArray,
    most: int,
) -> tuple[ItemIndexes, Sums, Counts, Counts]:
    """Add up in a table of at most `most` items.

    Returns:
        item: int32 [k], all different; the strength of its rules: float64 [k]; how often the history has it: int32 [k];
        and the place of each step's item among these, -1 for items that are not in the catalogue: int32 [m].
    """
    table = item_table(most)
    item_list, at_step = np.empty(most, np.int32), np.full(len(items), -1, np.int32)
    sums, uses = np.zeros(most), np.zeros(most, np.int32)
    n_listed, place = 0, 0
    for step in range(len(items) - 1, -1, -1):
        item = items[step]
        if not 0 <= item < len(offsets) - 1:
            continue
        at_step[step] = at = place_in(table, item_list, n_listed, item)
        n_listed = max(n_listed, at + 1)
        uses[at] += 1
        if place < len(places):
            led_to, by = rule_items[offsets[item] : offsets[item + 1]], strengths[offsets[item] : offsets[item + 1]]
            for entry in range(len(led_to)):
                if not 0 <= led_to[entry] < len(offsets) - 1:
                    continue
                at = place_in(table, item_list, n_listed, led_to[entry])
                n_listed = max(n_listed, at + 1)
                sums[at] += by[entry] * places[place]
        place += 1
    return item_list[:n_listed].copy(), sums[:n_listed], uses[:n_listed], at_step


@compiled
def _gather(
    items: ItemIndexes, offsets: Offsets, rule_items: ItemIndexes, strengths: FloatArray, places: FloatArray
) -> tuple[ItemIndexes, Sums, Counts, Counts]:
    most = most_deltas(items, offsets, len(places))
    if lists_no_zeros(len(offsets) - 1, most):
        return _in_all(items, offsets, rule_items, strengths, places)
    return _in_table(items, offsets, rule_items, strengths, places, most)


@compiled
def _log1p(sums: Sums, scale: np.float32) -> FloatArray:
    """Return log(1 + x / scale) of float64 [k], none below 0: float32 [k], to the last bit or the one before.

    Cephes' polynomial for the logarithm of what is left when the exponent is taken out (S. L. Moshier, "Methods and
    Programs for Mathematical Functions", 1989), in loops that become vector instructions; a library's logarithm, one by
    one, takes six times as long.
    """
    size = len(sums)
    rest, logs, exponents = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.float32)
    bits = rest.view(np.int32)
    one = np.float32(1.0)
    for place in range(size):
        value = np.float32(sums[place]) / scale
        rest[place] = one + value
        logs[place] = (value - (rest[place] - one)) / rest[place]  # what 1 + x has lost
    for place in range(size):
        # Ufuncs of NumPy keep 32 bits, operators do not. The rest goes from the root of 1/2 to the root of 2.
        exponent = np.right_shift(np.subtract(bits[place], np.int32(0x3F3504F3)), np.int32(23))
        exponents[place] = np.float32(exponent)
        bits[place] = np.subtract(bits[place], np.left_shift(exponent, np.int32(23)))
    for place in range(size):
        x = rest[place] - one
        square = x * x
        series = np.float32(7.0376836292e-2)
        series = series * x + np.float32(-1.1514610310e-1)
        series = series * x + np.float32(1.1676998740e-1)
        series = series * x + np.float32(-1.2420140846e-1)
        series = series * x + np.float32(1.4249322787e-1)
        series = series * x + np.float32(-1.6668057665e-1)
        series = series * x + np.float32(2.0000714765e-1)
        series = series * x + np.float32(-2.4999993993e-1)
        series = series * x + np.float32(3.3333331174e-1)
        # log 2 in two parts, the first of few digits.
        small = x * square * series + exponents[place] * np.float32(-2.12194440e-4) - np.float32(0.5) * square
        logs[place] += x + small + exponents[place] * np.float32(0.693359375)
    return logs


@compiled
def delta_values(
    sums: Sums,
    items: ItemIndexes,
    event_types: EventTypes,
    uses: Counts,
    at_step: Counts,
    recency: FloatArray,
    count: FloatArray,
    rules: np.float32,
    scale: np.float32,
) -> FloatArray:
    """Return what is added to the scores of the items of a history and of its rules.

    Args:
        sums: float64 [k], how strongly rules lead to each.
        items: int32 [m], of the history; event types and others as of `fused_deltas`.
        event_types: uint8 [m].
        uses: int32 [k], how often the history has each; 0 for all of them afterwards.
        at_step: int32 [m], which of the k items each step is; -1 for none.
        recency: As of `fused_deltas`.
        count: Likewise.
        rules: Likewise.
        scale: Likewise.
    """
    values = _log1p(sums, scale)
    values *= rules
    steps_ago = 0
    for step in range(len(items) - 1, -1, -1):
        at = at_step[step]
        if at < 0:
            continue
        steps_ago += 1
        if uses[at] == 0:
            continue  # a use that was not the last
        column = event_types[step] if event_types[step] < recency.shape[1] else 0
        values[at] += recency[_bucket(RECENCY_ENDS, steps_ago), column] + count[_bucket(COUNT_ENDS, uses[at])]
        uses[at] = 0
    return values


@compiled
def rule_sums(
    items: ItemIndexes, offsets: Offsets, rule_items: ItemIndexes, strengths: FloatArray, places: FloatArray
) -> tuple[ItemIndexes, FloatArray]:
    """Add up how strongly the newest items of a history lead to others; see `fused_deltas`.

    Returns:
        item: int32 [k], all different; strength: float32 [k], above 0.
    """
    item_list, sums, _, _ = _gather(items, offsets, rule_items, strengths, places)
    is_led_to = sums > 0.0
    return item_list[is_led_to], sums[is_led_to].astype(np.float32)


@compiled_for(INTS, BYTES, LONGS, INTS, FLOATS, FLOATS, FLOATS_2D, FLOATS, numba.float64, numba.float64)
def fused_deltas(
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
) -> tuple[ItemIndexes, FloatArray]:
    """Work out what rules and repeats change of the scores of a few items.

    Args:
        items: int32 [m], of the history, oldest first; items that are not in the catalogue are passed over.
        event_types: uint8 [m]; types without a column in `recency` count as type 0.
        offsets: int64 [n_items + 1], of the rules: item i's are `offsets[i]` to `offsets[i + 1] - 1`.
        rule_items: int32 [rules]; those that are not in the catalogue are passed over.
        strengths: float32 [rules], above 0.
        places: float32 [p], weights of the newest items' rules, the newest first.
        recency: float32 [RECENCY_BUCKETS, types], see `score`.
        count: float32 [COUNT_BUCKETS], see `score`.
        rules: w of the formula; 0 leaves rules out.
        scale: e of the formula, above 0.

    Returns:
        item: int32 [k], all different, and what is added to its score: float32 [k].
    """
    used_places = places if rules != 0.0 else places[:0]
    item_list, sums, uses, at_step = _gather(items, offsets, rule_items, strengths, used_places)
    return item_list, delta_values(
        sums, items, event_types, uses, at_step, recency, count, np.float32(rules), np.float32(scale)
    )
