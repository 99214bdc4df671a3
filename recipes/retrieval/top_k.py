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

__all__ = ["best_shares", "highest_places", "reached_by", "reached_by_some", "top_k"]

#: Columns for each result wanted: with more, fewer scores reach the bound, but there are more columns to look at.
_COLUMNS = 4
#: Scores that are worked on at a time.
_BLOCK = 256
#: Ciura's gaps ("Best Increments for the Average Case of Shellsort", 2001).
_GAPS = (301, 132, 57, 23, 10, 4, 1)
#: Below it exponentials are no normal numbers any more, and taken for 0.
_LOWEST = np.float32(-87.0)


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
    """Return the highest value that at least `count` values reach, by Hoare's quickselect; reorders them."""
    low, high, place = 0, len(values) - 1, count - 1
    while low < high:
        middle = values[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while values[left] > middle:
                left += 1
            while values[right] < middle:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if place <= right:
            high = right
        elif place >= left:
            low = left
        else:
            break
    bound: np.float32 = values[place]
    return bound


@compiled
def reached_by_some(scores: FloatArray, count: int) -> np.float32:
    """Return a value that at least `count` scores reach, near the highest such; -infinity where there are fewer."""
    if count > len(scores):
        return np.float32(-np.inf)
    if _COLUMNS * count < len(scores):
        return reached_by(_highest_of_columns(scores, _COLUMNS * count), count)
    return reached_by(scores.copy(), count)


@compiled
def _reaching(scores: FloatArray, bound: np.float32) -> ItemIndexes:
    """Return the places of the scores that reach a bound, ascending: int32 [k]."""
    places, n_places = np.empty(64, np.int32), 0
    for begin in range(0, len(scores), _BLOCK):
        block = scores[begin : begin + _BLOCK]
        reaching = 0
        for place in range(len(block)):
            reaching += block[place] >= bound
        if reaching == 0:
            continue
        if n_places + reaching > len(places):
            longer = np.empty(2 * (n_places + reaching), np.int32)
            longer[:n_places] = places[:n_places]
            places = longer
        for place in range(len(block)):
            if block[place] >= bound:
                places[n_places] = begin + place
                n_places += 1
    return places[:n_places]


@compiled
def _sort(scores: FloatArray, places: ItemIndexes) -> None:
    """Sort scores, highest first, and equal ones by place; Shell's method: there are few."""
    for gap in _GAPS:
        for end in range(gap, len(scores)):
            score, place, at = scores[end], places[end], end
            while at >= gap and (scores[at - gap] < score or (scores[at - gap] == score and places[at - gap] > place)):
                scores[at], places[at] = scores[at - gap], places[at - gap]
                at -= gap
            scores[at], places[at] = score, place


@compiled
def _best(scores: FloatArray, limit: int) -> tuple[ItemIndexes, FloatArray]:
    """Return the places of the highest scores, int32 [min(limit, n)], and these; see `top_k`."""
    size = max(0, min(limit, len(scores)))
    if size == 0:
        return np.empty(0, np.int32), np.empty(0, np.float32)
    columns = _COLUMNS * size
    if columns < len(scores):
        places = _reaching(scores, reached_by(_highest_of_columns(scores, columns), size))
    elif size < len(scores):
        places = _reaching(scores, reached_by(scores.copy(), size))
    else:
        places = np.arange(size).astype(np.int32)
    top = scores[places]
    _sort(top, places)
    return places[:size], top[:size]


@compiled
def highest_places(scores: FloatArray, limit: int) -> ItemIndexes:
    """Return the places of the highest scores, as `top_k` does, to compiled code."""
    return _best(scores, limit)[0]


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
    """Return the sum of exp(score - highest)."""
    out, powers, sums = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.int32), np.zeros(_BLOCK)
    for begin in range(0, len(scores), _BLOCK):
        block = scores[begin : begin + _BLOCK]
        _exponentials(block, highest, out, powers)
        for place in range(len(block)):
            sums[place] += out[place]
    return np.float32(sums.sum())


@compiled_for(FLOATS, numba.int64)
def _top_places(scores: FloatArray, limit: int) -> ItemIndexes:
    return _best(scores, limit)[0]


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
        larger of `limit` and `shared`; share: float32 [k]; and the sum of exp(score - highest) that shares are taken
        of, 1 without any.
    """
    places, best = _best(scores, max(limit, shared))
    size = max(0, min(limit, len(best)))
    if len(best) == 0:
        return places, best, best.copy(), np.float32(1.0)
    total = _total(best[:shared], best[0])
    shares, powers = np.empty(size, np.float32), np.empty(size, np.int32)
    _exponentials(best[:size], best[0], shares, powers)
    shares /= total
    return places[:size].copy(), best, shares, total
