"""Choosing the best of many scores, and their shares in the softmax, the same way everywhere; ties go to lower places.

Partitioning all scores costs more than computing them, so they are first cut into many columns. The highest scores of
as many columns as results are wanted are so many scores, hence the lowest of these is a bound that no result is below,
and what reaches it is hardly more than what is wanted.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from common.compiled import FLOATS, compiled, compiled_for
from recipes.data.histories import FloatArray, ItemIndexes

__all__ = ["best_shares", "highest_places", "reached_by", "reached_by_some", "reaching", "rounded", "top_k"]

#: Columns for each result wanted: with more, fewer scores reach the bound, but there are more columns to look at.
_COLUMNS = 4
#: Scores that are sorted by counting.
_COUNTED = 64
#: Scores that are worked on at a time.
_BLOCK = 256
#: Seven decimals, as Personalize's scores have.
_DECIMALS = 1e7
#: Ciura's gaps ("Best Increments for the Average Case of Shellsort", 2001).
_GAPS = (301, 132, 57, 23, 10, 4, 1)
#: Below it exponentials are no normal numbers any more, and taken for 0.
_LOWEST = np.float32(-87.0)
#: What 1 is where numbers up to 1 are added up as integers: there may be eight million of them.
_UNIT = np.float64(2**40)


@compiled
def _highest_of_columns(scores: FloatArray, columns: int) -> FloatArray:
    """Cut scores into so many columns, and return the highest of each: float32 [columns]."""
    highest = scores[:columns].copy()
    for begin in range(columns, len(scores), columns):
        row = scores[begin : begin + columns]
        for column in range(len(row)):
            highest[column] = max(highest[column], row[column])
    return highest


@compiled
def reached_by(values: FloatArray, count: int) -> np.float32:
    """Return the highest value that at least `count` values reach, one at least: found bit by bit.

    Floats are in the order of their bits as integers, negative ones turned round. So 32 times it is counted how many
    reach a bound, in vector instructions, where to part values again and again would guess at every one.
    """
    bits, keys = values.view(np.int32), np.empty(len(values), np.int32)
    for place in range(len(values)):
        # Ufuncs of NumPy keep 32 bits, operators do not.
        sign = np.right_shift(bits[place], np.int32(31))
        keys[place] = np.bitwise_xor(bits[place], np.bitwise_and(sign, np.int32(0x7FFFFFFF)))
    bound = np.int64(-0x80000000)
    for bit in range(31, -1, -1):
        tried = np.int32(bound + (np.int64(1) << bit))
        reaching = np.int32(0)
        for place in range(len(keys)):
            reaching = np.add(reaching, np.int32(keys[place] >= tried))
        if reaching >= count:
            bound = np.int64(tried)
    key = np.full(1, np.int32(bound))
    key[0] = np.bitwise_xor(key[0], np.bitwise_and(np.right_shift(key[0], np.int32(31)), np.int32(0x7FFFFFFF)))
    bound_value: np.float32 = key.view(np.float32)[0]
    return bound_value


@compiled
def reached_by_some(scores: FloatArray, count: int) -> np.float32:
    """Return a value that at least `count` scores reach, near the highest such; -infinity where there are fewer."""
    if count > len(scores):
        return np.float32(-np.inf)
    if _COLUMNS * count < len(scores):
        return reached_by(_highest_of_columns(scores, _COLUMNS * count), count)
    return reached_by(scores.copy(), count)


@compiled
def reaching(scores: FloatArray, bound: np.float32) -> ItemIndexes:
    """Return the places of the scores that reach a bound, ascending: int32 [k]."""
    places, n_places = np.empty(64, np.int32), 0
    for begin in range(0, len(scores), _BLOCK):
        block = scores[begin : begin + _BLOCK]
        reaching = 0
        for place in range(len(block)):
            reaching += block[place] >= bound
        if reaching == 0:
            continue
        if n_places + reaching >= len(places):
            longer = np.empty(2 * (n_places + reaching), np.int32)
            longer[:n_places] = places[:n_places]
            places = longer
        for place in range(len(block)):
            # Without a branch: the next place is written over one that does not reach it.
            places[n_places] = begin + place
            n_places += block[place] >= bound
    return places[:n_places]


@compiled
def _sort(scores: FloatArray, places: ItemIndexes) -> None:
    """Sort scores, highest first, and equal ones by place: few by counting what comes first, more by Shell's method."""
    if len(scores) <= _COUNTED:
        unsorted, unsorted_places = scores.copy(), places.copy()
        for place in range(len(scores)):
            before = np.int32(0)
            for rival in range(len(scores)):
                comes_first = (unsorted[rival] > unsorted[place]) | (
                    (unsorted[rival] == unsorted[place]) & (unsorted_places[rival] < unsorted_places[place])
                )
                before = np.add(before, np.int32(comes_first))
            scores[before], places[before] = unsorted[place], unsorted_places[place]
        return
    for gap in _GAPS:
        for end in range(gap, len(scores)):
            score, place, at = scores[end], places[end], end
            while at >= gap and (scores[at - gap] < score or (scores[at - gap] == score and places[at - gap] > place)):
                scores[at], places[at] = scores[at - gap], places[at - gap]
                at -= gap
            scores[at], places[at] = score, place


@compiled
def _with_best_first(scores: FloatArray, places: ItemIndexes, count: int) -> tuple[FloatArray, ItemIndexes]:
    """Return scores and their places with the highest `count` in front, of equal ones the first; else as they were."""
    bound = reached_by(scores, count)
    equal = count
    for place in range(len(scores)):
        equal -= scores[place] > bound
    parted, parted_places = np.empty(len(scores), np.float32), np.empty(len(scores), np.int32)
    front, back = 0, count
    for place in range(len(scores)):
        score, at = scores[place], back
        if score > bound or (score == bound and equal > 0):
            equal -= score == bound
            at = front
            front += 1
        else:
            back += 1
        parted[at], parted_places[at] = score, places[place]
    return parted, parted_places


@compiled
def _best(scores: FloatArray, limit: int, ordered: int) -> tuple[ItemIndexes, FloatArray]:
    """Return the places of the highest scores, int32 [min(limit, n)], and these; only the first `ordered` in order."""
    size = max(0, min(limit, len(scores)))
    if size == 0:
        return np.empty(0, np.int32), np.empty(0, np.float32)
    columns = _COLUMNS * size
    if columns < len(scores):
        places = reaching(scores, reached_by(_highest_of_columns(scores, columns), size))
    elif size < len(scores):
        places = reaching(scores, reached_by(scores, size))
    else:
        places = np.arange(size).astype(np.int32)
    top = scores[places]
    if size < len(top):
        top, places = _with_best_first(top, places, size)
        top, places = top[:size], places[:size]
    if ordered < size:
        # Sorting a hundred takes as long as finding them.
        top, places = _with_best_first(top, places, ordered)
    _sort(top[:ordered], places[:ordered])
    return places, top


@compiled
def highest_places(scores: FloatArray, limit: int) -> ItemIndexes:
    """Return the places of the highest scores, as `top_k` does, to compiled code."""
    return _best(scores, limit, limit)[0]


@compiled
def _exponentials(values: FloatArray, highest: np.float32, out: FloatArray, powers: NDArray[np.int32]) -> None:
    """Write exp(value - highest) to `out`, as many as there are values, none of which is above `highest`.

    Cephes' polynomial (S. L. Moshier, "Methods and Programs for Mathematical Functions", 1989), in loops that become
    vector instructions; `powers` is for what it works with.
    """
    for place in range(len(values)):
        value = max(_LOWEST, values[place] - highest)
        power = np.floor(value * np.float32(1.44269504088896341) + np.float32(0.5))
        # log 2 in two parts, the first of few digits.
        x = value - power * np.float32(0.693359375) - power * np.float32(-2.12194440e-4)
        series = np.float32(1.9875691500e-4)
        series = series * x + np.float32(1.3981999507e-3)
        series = series * x + np.float32(8.3334519073e-3)
        series = series * x + np.float32(4.1665795894e-2)
        series = series * x + np.float32(1.6666665459e-1)
        series = series * x + np.float32(5.0000001201e-1)
        out[place] = series * x * x + x + np.float32(1.0)
        # Ufuncs of NumPy keep 32 bits, operators do not.
        powers[place] = np.left_shift(np.add(np.int32(power), np.int32(127)), np.int32(23))
    factors = powers.view(np.float32)
    for place in range(len(values)):
        out[place] = out[place] * factors[place] if values[place] - highest > _LOWEST else np.float32(0.0)


@compiled
def _total(scores: FloatArray, highest: np.float32) -> np.float32:
    """Return the sum of exp(score - highest), the same in whichever order the scores are: it adds up integers."""
    out, powers, sums = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.int32), np.zeros(_BLOCK, np.int64)
    for begin in range(0, len(scores), _BLOCK):
        block = scores[begin : begin + _BLOCK]
        _exponentials(block, highest, out, powers)
        for place in range(len(block)):
            sums[place] += np.int64(np.float64(out[place]) * _UNIT)
    return np.float32(sums.sum() / _UNIT)


@compiled_for(FLOATS, numba.int64)
def _top_places(scores: FloatArray, limit: int) -> ItemIndexes:
    return _best(scores, limit, limit)[0]


def top_k(scores: FloatArray, limit: int) -> ItemIndexes:
    """Find the places of the highest scores.

    Args:
        scores: float32 [n], no NaN among them.
        limit: How many at most.

    Returns:
        int32 [min(limit, n)], highest first, equal scores by place.
    """
    return _top_places(np.ascontiguousarray(scores, np.float32), limit)


@compiled_for(FLOATS, numba.int64, numba.int64)
def best_shares(scores: FloatArray, limit: int, shared: int) -> tuple[ItemIndexes, FloatArray, FloatArray, np.float32]:
    """Find the places of the highest scores, and their shares: exp(score) over the sum of exp(score) of the best.

    Args:
        scores: float32 [n], no NaN among them.
        limit: How many at most.
        shared: Best scores that shares are taken over, so many at most.

    Returns:
        place: int32 [k], highest first, equal scores by place, k up to `limit`; the best scores: float32, up to the
        larger of `limit` and `shared`, those of the places in order and then the others in none; share: float32 [k];
        and the sum of exp(score - highest) that shares are taken of, 1 without any.
    """
    places, best = _best(scores, max(limit, shared), max(limit, 1))
    size = max(0, min(limit, len(best)))
    if len(best) == 0:
        return places, best, best.copy(), np.float32(1.0)
    total = _total(best[:shared], best[0])
    shares, powers = np.empty(size, np.float32), np.empty(size, np.int32)
    _exponentials(best[:size], best[0], shares, powers)
    shares /= total
    return places[:size].copy(), best, shares, total


@compiled_for(FLOATS)
def rounded(values: FloatArray) -> NDArray[np.float64]:
    """Round numbers to seven decimals, as NumPy does: float64 [k]."""
    decimals = np.empty(len(values), np.float64)
    for place in range(len(values)):
        decimals[place] = np.rint(np.float64(values[place]) * _DECIMALS) / _DECIMALS
    return decimals
