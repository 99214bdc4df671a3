"""Cutting histories into the windows of one epoch, and packing windows one after another into the rows of batches.

Every interaction is a target once in an epoch. A history longer than a window is cut at places drawn anew each epoch,
so that an item is learnt with little and with much before it. Rows are filled with windows, which networks keep apart
by the positions of their steps, so hardly a place is padding (Krell et al., "Efficient Sequence Packing without
Cross-contamination", 2021). Each shape of a batch is compiled once, so there are two at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recipes.components.sequence_scorer import gap_buckets
from recipes.data.histories import FloatArray, Histories, ItemIndexes

__all__ = [
    "NO_SIDE_FEATURES",
    "Batch",
    "EpochBatches",
    "SideFeatures",
    "batch_shapes",
    "choose_shapes",
    "epoch_batches",
]

#: Quantile of the lengths of histories up to which windows get rows of that length, where those are half as long as the
#: longest window or shorter: attention costs the square of a row's length, a further shape is to be compiled.
_SHORT = 0.9
_NEAR = 0.5

#: Steps of an epoch that batches are made small for, when the batch size is left open, and the least rows of one.
_STEPS = 128
_LEAST_ROWS = 8

#: Numbers that are held as Python's at a time.
_LISTED = 1 << 16


class SideFeatures(NamedTuple):
    """What is known of steps besides the items before them.

    Attributes:
        context: int32 [interactions, columns], codes of each one's context; None without columns.
        user_features: int32 [users, k], codes of each user's columns; None without columns.
    """

    context: NDArray[np.int32] | None
    user_features: NDArray[np.int32] | None

    def where(self, kept: NDArray[np.bool_]) -> SideFeatures:
        """Return the features of the steps where `kept`, bool [interactions], is true."""
        return self if self.context is None else self._replace(context=self.context[kept])


NO_SIDE_FEATURES = SideFeatures(context=None, user_features=None)


class Batch(NamedTuple):
    """Rows of windows, one after another, padded on the right.

    Attributes:
        items: int32 [B, T].
        event_types: int32 [B, T].
        gaps: int32 [B, T], buckets of the time since the step before.
        positions: int32 [B, T], of each step within its window, from 0, where a window begins; 0 for padding.
        weights: float32 [B, T], of each item as a target; 0 for padding.
        context: int32 [B, T, columns], codes of each interaction's context.
        user_features: int32 [B, T, k], codes of the columns of each step's user.
    """

    items: ItemIndexes
    event_types: ItemIndexes
    gaps: ItemIndexes
    positions: NDArray[np.int32]
    weights: FloatArray
    context: NDArray[np.int32]
    user_features: NDArray[np.int32]


class _Windows(NamedTuple):
    """Windows, one after another.

    Attributes:
        begins: int64 [n], places of the first steps.
        lengths: int64 [n].
        first: bool [n], whether the history begins there.
        owners: int64 [n], the users.
    """

    begins: NDArray[np.int64]
    lengths: NDArray[np.int64]
    first: NDArray[np.bool_]
    owners: NDArray[np.int64]

    def take(self, chosen: NDArray[Any]) -> _Windows:
        return _Windows(*(part[chosen] for part in self))


class _PackedWindows(NamedTuple):
    """Where windows lie in the rows of one batch.

    Attributes:
        windows: int64 [n], numbers of the windows.
        rows: int64 [n].
        columns: int64 [n], where each begins.
        shape: Rows and places of the batch.
    """

    windows: NDArray[np.int64]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    shape: tuple[int, int]


def choose_shapes(
    lengths: NDArray[np.integer], *, max_length: int, batch_size: int | None, max_rows: int
) -> list[tuple[int, int]]:
    """Choose the shapes of the batches that histories are learnt in.

    Args:
        lengths: int [histories], steps of each.
        max_length: Steps that the network reads.
        batch_size: Longest sequences in one batch; None for 8 to `max_rows`, as the data are large.
        max_rows: At most so many when the size is left open.

    Returns:
        As `batch_shapes`.
    """
    longest = min(max_length + 1, max(2, int(lengths.max())))
    fitting = round(int(lengths.sum()) / (_STEPS * longest))
    rows = batch_size or min(max_rows, max(_LEAST_ROWS, fitting))
    return batch_shapes(lengths, longest=longest, batch_tokens=rows * longest)


def batch_shapes(lengths: NDArray[np.integer], *, longest: int, batch_tokens: int) -> list[tuple[int, int]]:
    """Choose the shapes of batches so that attention costs little in rows of short windows.

    Args:
        lengths: int [histories], steps of each.
        longest: Places of the longest window.
        batch_tokens: Places of a batch.

    Returns:
        (rows, places), shortest windows first: places are `longest`, and before it a quantile of the lengths, rounded
        up to a multiple of 4, where that is much less.
    """
    cut = np.clip(lengths[lengths > 0], 1, longest)
    short = int(np.quantile(cut, _SHORT, method="higher")) if len(cut) else longest
    rounded = -(-short // 4) * 4
    places = [rounded, longest] if rounded <= longest * _NEAR else [longest]
    return [(max(1, batch_tokens // count), count) for count in places]


@dataclass(frozen=True, slots=True)
class EpochBatches:
    """The batches of one epoch in the order to learn them in, each packed when it is reached.

    Attributes:
        histories: To learn from.
        weights: float32 [total], of each item as a target.
        side: Of these interactions and users.
        windows: That the histories are cut into.
        plan: Of each batch.
        mass: Sum of the weights of all targets.
    """

    histories: Histories
    weights: FloatArray
    side: SideFeatures
    windows: _Windows
    plan: list[_PackedWindows]
    mass: float

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[Batch]:
        for packed in self.plan:
            yield _fill(self.histories, self.weights, self.side, self.windows.take(packed.windows), packed)


def epoch_batches(
    histories: Histories,
    weights: FloatArray,
    *,
    shapes: list[tuple[int, int]],
    random: np.random.Generator,
    side: SideFeatures = NO_SIDE_FEATURES,
) -> EpochBatches:
    """Cut and plan one epoch.

    Args:
        histories: To learn from.
        weights: float32 [total], of each item as a target.
        shapes: From `batch_shapes`.
        random: Decides the cuts and the order.
        side: Of these interactions and users.
    """
    windows = _windows(histories, longest=shapes[-1][1], random=random)
    # The start token stands for the beginning of a history: it predicts nothing in the middle of one.
    mass = weights.sum(dtype=np.float64) - weights[windows.begins[~windows.first]].sum(dtype=np.float64)
    # A single item in the middle of a history has nothing before it to be learnt from.
    useful = windows.first | (windows.lengths >= 2)
    plan: list[_PackedWindows] = []
    left = np.empty(0, np.int64)
    shorter = 0
    for shape in shapes:
        fitting = useful & (windows.lengths > shorter) & (windows.lengths <= shape[1])
        # What fills no batch of short rows goes with the next longer ones.
        chosen = random.permutation(np.concatenate([left, np.flatnonzero(fitting)]))
        packed, left = _pack(
            chosen, windows.lengths[chosen], shape=shape, to_the_last=shape == shapes[-1], random=random
        )
        plan += packed
        shorter = shape[1]
    order = random.permutation(len(plan))
    return EpochBatches(histories, weights, side, windows, [plan[place] for place in order], float(mass))


def _windows(histories: Histories, *, longest: int, random: np.random.Generator) -> _Windows:
    """Cut each history."""
    totals = histories.lengths()
    phases = random.integers(1, longest + 1, len(totals))
    heads = np.where(totals <= longest, totals, phases)  # length of each history's first window
    counts = np.where(totals > 0, 1 + -(-(totals - heads) // longest), 0)
    owners = np.repeat(np.arange(len(totals)), counts)
    numbers = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    begins = np.where(numbers == 0, 0, heads[owners] + (numbers - 1) * longest)
    ends = np.minimum(heads[owners] + numbers * longest, totals[owners])
    return _Windows(begins + histories.offsets[owners], ends - begins, numbers == 0, owners)


def _pack(
    windows: NDArray[np.int64],
    lengths: NDArray[np.int64],
    *,
    shape: tuple[int, int],
    to_the_last: bool,
    random: np.random.Generator,
) -> tuple[list[_PackedWindows], NDArray[np.int64]]:
    """Pack windows into batches of one shape.

    Args:
        windows: int64 [n], numbers of the windows.
        lengths: int64 [n], of these.
        shape: Rows and places.
        to_the_last: Whether the last batch may lack rows.
        random: Decides which rows belong together.

    Returns:
        The batches, and the windows that are in none.
    """
    rows, columns, count = _fit(lengths, shape[1])
    batches, rows = np.divmod(random.permutation(count)[rows], shape[0])
    n_batches = -(-count // shape[0]) if to_the_last else count // shape[0]
    order = np.argsort(batches, kind="stable")
    parts = np.split(order, batches[order].searchsorted(np.arange(1, n_batches + 1)))
    plan = [_PackedWindows(windows[part], rows[part], columns[part], shape) for part in parts[:-1]]
    return plan, windows[parts[-1]]


def _fit(lengths: NDArray[np.int64], places: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Fit windows into rows, the longest first, each where the least is left free that is enough (best-fit decreasing).

    Args:
        lengths: int64 [n], 1 to `places`.
        places: Of a row.

    Returns:
        Of each window its row and where it begins there, int64 [n] each; and the number of rows.
    """
    order = np.argsort(-lengths, kind="stable")
    rows, columns = np.empty((2, len(lengths)), np.int64)
    free: list[list[int]] = [[] for _ in range(places)]  # rows by the places that are left in them
    some = 0  # bit r is set where there are rows with r places left
    count = 0
    for window, length in zip(_listed(order), _listed(lengths[order]), strict=True):
        enough = some >> length
        if enough:
            space = length + (enough & -enough).bit_length() - 1
            row = free[space].pop()
            if not free[space]:
                some ^= 1 << space
        else:
            row, space = count, places
            count += 1
        rows[window], columns[window] = row, places - space
        if space > length:
            free[space - length].append(row)
            some |= 1 << (space - length)
    return rows, columns, count


def _listed(values: NDArray[np.int64]) -> Iterator[int]:
    """Yield numbers as Python's, a few at a time, as these take several times the memory."""
    for begin in range(0, len(values), _LISTED):
        yield from values[begin : begin + _LISTED].tolist()


def _fill(
    histories: Histories, weights: FloatArray, side: SideFeatures, windows: _Windows, packed: _PackedWindows
) -> Batch:
    """Fill one batch with the windows that are packed into it."""
    context = np.empty((len(histories.items), 0), np.int32) if side.context is None else side.context
    user_features = np.empty((len(histories), 0), np.int32) if side.user_features is None else side.user_features
    shape, total = packed.shape, int(windows.lengths.sum())
    steps = np.arange(total) - np.repeat(np.cumsum(windows.lengths) - windows.lengths, windows.lengths)
    places = np.repeat(windows.begins, windows.lengths) + steps  # in the histories, int64 [total]
    filled = np.repeat(packed.rows * shape[1] + packed.columns, windows.lengths) + steps  # in the batch

    def spread(values: NDArray[Any]) -> NDArray[Any]:
        spread_out = np.zeros((shape[0] * shape[1], *values.shape[1:]), values.dtype)
        spread_out[filled] = values
        return spread_out.reshape(*shape, *values.shape[1:])

    mass = np.where((steps == 0) & ~np.repeat(windows.first, windows.lengths), np.float32(0.0), weights[places])
    times = histories.times[places]
    gaps = np.where(steps == 0, 0, gap_buckets(times))
    owners = np.repeat(windows.owners, windows.lengths)
    return Batch(
        spread(histories.items[places]),
        spread(histories.event_types[places].astype(np.int32)),
        spread(gaps.astype(np.int32)),
        spread(steps.astype(np.int32)),
        spread(mass),
        spread(context[places]),
        spread(user_features[owners]),
    )
