"""The score deltas of one history, in one compiled pass over its steps and what its items lead to and speak for.

It says the same as `repeats` and the formula in `score`, which take twenty small NumPy calls to say it. In a catalogue
that is small beside what is added up, sums stand in one array of all items; else in a table by open addressing, so
that the pass costs what the history, its rules and its weights have, whatever the catalogue has.
"""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from common.compiled import BYTES, FLOATS, FLOATS_2D, INTS, LONGS, compiled, compiled_for
from recipes.data.histories import EventTypes, FloatArray, ItemIndexes, Offsets
from recipes.data.item_table import item_table, place_in

__all__ = [
    "COUNT_ENDS", "RECENCY_ENDS", "delta_values", "end_of_row", "fused_deltas", "in_all", "lists_no_zeros",
    "most_deltas", "most_weights", "rule_sums",
]  # fmt: skip

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
def end_of_row(offsets: Offsets, item: int, places: FloatArray, place: int) -> int:
    """Return where those of an item's weights end that are looked at from a place: the fewer the less it counts."""
    share = places[place] / places[0]
    end: int = offsets[item] + np.int64(np.ceil((offsets[item + 1] - offsets[item]) * share))
    return end


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
def most_weights(items: ItemIndexes, offsets: Offsets, places: FloatArray) -> int:
    """Return how many weights of the newest items there are to be added up at most."""
    most, place = 0, 0
    for step in range(len(items) - 1, -1, -1):
        item = items[step]
        if place < len(places) and 0 <= item < len(offsets) - 1:
            most += end_of_row(offsets, item, places, place) - offsets[item]
            place += 1
    return most


@compiled
def _add_row(sums: Sums, columns: ItemIndexes, values: FloatArray, begin: int, end: int, factor: np.float32) -> None:
    """Add entries of a sparse matrix, times a factor, to sums of all items; columns beyond them are passed over."""
    row_columns, row_values = columns[begin:end], values[begin:end]
    for entry in range(len(row_columns)):
        column = np.uint32(row_columns[entry])
        if column < len(sums):
            sums[column] += row_values[entry] * factor


@compiled
def in_all(
    items: ItemIndexes,
    rule_offsets: Offsets,
    rule_items: ItemIndexes,
    strengths: FloatArray,
    rule_places: FloatArray,
    offsets: Offsets,
    weight_items: ItemIndexes,
    weights: FloatArray,
    places: FloatArray,
) -> tuple[ItemIndexes, Sums, Sums, Counts, Counts]:
    """Add up in arrays of all items; see `_in_table`."""
    n_items = len(rule_offsets) - 1
    sums, uses = np.zeros(n_items), np.zeros(n_items, np.int32)
    spoken = np.zeros(n_items if len(places) > 0 else 0)
    place = 0
    for step in range(len(items) - 1, -1, -1):
        item = items[step]
        if not 0 <= item < n_items:
            continue
        if place < len(rule_places):
            begin, end = rule_offsets[item], rule_offsets[item + 1]
            _add_row(sums, rule_items, strengths, begin, end, rule_places[place])
        if place < len(places) and uses[item] == 0:
            end = end_of_row(offsets, item, places, place)
            _add_row(spoken, weight_items, weights, offsets[item], end, places[place])
        uses[item] += 1
        place += 1
    item_list, at = np.empty(n_items, np.int32), np.empty(n_items, np.int32)
    n_listed = 0
    for item in range(n_items):  # without a branch, and without what would wait for the item before
        item_list[n_listed] = item
        at[item] = n_listed
        is_listed = (sums[item] != 0.0) | (uses[item] != 0)
        if len(spoken) > 0:
            is_listed |= spoken[item] != 0.0
        n_listed += is_listed
    item_list = item_list[:n_listed].copy()
    at_step = np.full(len(items), -1, np.int32)
    for step in range(len(items)):
        if 0 <= items[step] < n_items:
            at_step[step] = at[items[step]]
    if len(spoken) > 0:
        spoken = spoken[item_list]
    return item_list, sums[item_list], spoken, uses[item_list], at_step


@compiled
def _in_table(
    items: ItemIndexes,
    rule_offsets: Offsets,
    rule_items: ItemIndexes,
    strengths: FloatArray,
    rule_places: FloatArray,
    offsets: Offsets,
    weight_items: ItemIndexes,
    weights: FloatArray,
    places: FloatArray,
    most: int,
) -> tuple[ItemIndexes, Sums, Sums, Counts, Counts]:
    """Add up in a table of at most `most` items.

    Returns:
        item: int32 [k], all different; the strength of its rules: float64 [k]; how much the history speaks for it:
        float64 [k], [0] where no place counts; how often the history has it: int32 [k]; and the place of each step's
        item among these, -1 for items that are not in the catalogue: int32 [m].
    """
    n_items = len(rule_offsets) - 1
    table = item_table(most)
    item_list, at_step = np.empty(most, np.int32), np.full(len(items), -1, np.int32)
    sums, uses = np.zeros(most), np.zeros(most, np.int32)
    spoken = np.zeros(most if len(places) > 0 else 0)
    n_listed, place = 0, 0
    for step in range(len(items) - 1, -1, -1):
        item = items[step]
        if not 0 <= item < n_items:
            continue
        at_step[step] = at = place_in(table, item_list, n_listed, item)
        n_listed = max(n_listed, at + 1)
        is_last_use = uses[at] == 0
        uses[at] += 1
        if place < len(rule_places):
            for entry in range(rule_offsets[item], rule_offsets[item + 1]):
                if 0 <= rule_items[entry] < n_items:
                    at = place_in(table, item_list, n_listed, rule_items[entry])
                    n_listed = max(n_listed, at + 1)
                    sums[at] += strengths[entry] * rule_places[place]
        if place < len(places) and is_last_use:
            for entry in range(offsets[item], end_of_row(offsets, item, places, place)):
                if 0 <= weight_items[entry] < n_items:
                    at = place_in(table, item_list, n_listed, weight_items[entry])
                    n_listed = max(n_listed, at + 1)
                    spoken[at] += weights[entry] * places[place]
        place += 1
    return item_list[:n_listed].copy(), sums[:n_listed], spoken[:n_listed], uses[:n_listed], at_step


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
) -> tuple[ItemIndexes, Sums, Sums, Counts, Counts]:
    most = most_deltas(items, rule_offsets, len(rule_places)) + most_weights(items, offsets, places)
    if lists_no_zeros(len(rule_offsets) - 1, most):
        return in_all(items, rule_offsets, rule_items, strengths, rule_places, offsets, weight_items, weights, places)
    return _in_table(
        items, rule_offsets, rule_items, strengths, rule_places, offsets, weight_items, weights, places, most
    )


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
    spoken: Sums,
    items: ItemIndexes,
    event_types: EventTypes,
    uses: Counts,
    at_step: Counts,
    recency: FloatArray,
    count: FloatArray,
    rules: np.float32,
    scale: np.float32,
    regression: np.float32,
) -> FloatArray:
    """Return what is added to the scores of the items of a history, of its rules and of its weights.

    Args:
        sums: float64 [k], how strongly rules lead to each.
        spoken: float64 [k], how much the history speaks for each; [0] for nothing.
        items: int32 [m], of the history; event types and others as of `fused_deltas`.
        event_types: uint8 [m].
        uses: int32 [k], how often the history has each; 0 for all of them afterwards.
        at_step: int32 [m], which of the k items each step is; -1 for none.
        recency: As of `fused_deltas`.
        count: Likewise.
        rules: Likewise.
        scale: Likewise.
        regression: Likewise.
    """
    values = _log1p(sums, scale)
    values *= rules
    if len(spoken) > 0:
        values += _log1p(spoken, np.float32(1.0)) * regression
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
    item_list, sums, _, _, _ = _gather(
        items, offsets, rule_items, strengths, places, offsets, rule_items, strengths, places[:0]
    )
    is_led_to = sums > 0.0
    return item_list[is_led_to], sums[is_led_to].astype(np.float32)


@compiled_for(
    INTS, BYTES, LONGS, INTS, FLOATS, FLOATS, LONGS, INTS, FLOATS, FLOATS, FLOATS_2D, FLOATS, numba.float64,
    numba.float64, numba.float64,
)  # fmt: skip
def fused_deltas(
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
) -> tuple[ItemIndexes, FloatArray]:
    """Work out what rules, the regression and repeats change of the scores of a few items.

    Args:
        items: int32 [m], of the history, oldest first; items that are not in the catalogue are passed over.
        event_types: uint8 [m]; types without a column in `recency` count as type 0.
        rule_offsets: int64 [n_items + 1]: item i's rules are `rule_offsets[i]` to `rule_offsets[i + 1] - 1`.
        rule_items: int32 [rules]; those that are not in the catalogue are passed over.
        strengths: float32 [rules], above 0.
        rule_places: float32 [p], weights of the newest items' rules, the newest first.
        offsets: int64 [n_items + 1], likewise of the regression's weights.
        weight_items: int32 [weights]; those that are not in the catalogue are passed over.
        weights: float32 [weights], above 0, the largest of each item first.
        places: float32 [q], what the weights of the newest items count, the newest first, of an item its last use
            alone, and by `places[0]` the share of its weights that are looked at; empty leaves the regression out.
        recency: float32 [RECENCY_BUCKETS, types], see `score`.
        count: float32 [COUNT_BUCKETS], see `score`.
        rules: w of the formula; 0 leaves rules out.
        scale: e of the formula, above 0.
        regression: v of the formula.

    Returns:
        item: int32 [k], all different, and what is added to its score: float32 [k].
    """
    item_list, sums, spoken, uses, at_step = _gather(
        items, rule_offsets, rule_items, strengths, rule_places if rules != 0.0 else rule_places[:0],
        offsets, weight_items, weights, places,
    )  # fmt: skip
    return item_list, delta_values(
        sums, spoken, items, event_types, uses, at_step, recency, count, np.float32(rules), np.float32(scale),
        np.float32(regression),
    )  # fmt: skip
