"""Cutting histories into the windows of one epoch, and packing windows of like length into batches of few shapes.

Every interaction is a target once in an epoch. A history longer than a window is cut at places drawn anew each epoch,
so that an item is learnt with little and with much before it. Each shape of a batch is compiled once, so there are few.
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

#: Quantiles of the lengths of histories that get a shape of their own, and the share of the longest window above which
#: padding costs less than compiling a further shape.
_QUANTILES = (0.4, 0.7, 0.9, 0.98)
_NEAR = 0.8

#: Steps of an epoch that batches are made small for, when the batch size is left open, and the least rows of one.
_STEPS = 64
_LEAST_ROWS = 8


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
    """Windows as rows, padded on the right.

    Attributes:
        items: int32 [B, T].
        event_types: int32 [B, T].
        gaps: int32 [B, T], buckets of the time since the step before.
        weights: float32 [B, T], of each item as a target; 0 for padding.
        context: int32 [B, T, columns], codes of each interaction's context.
        user_features: int32 [B, k], codes of the columns of each window's user.
    """

    items: ItemIndexes
    event_types: ItemIndexes
    gaps: ItemIndexes
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
    """Choose the shapes of batches so that padding is a small part of them.

    Args:
        lengths: int [histories], steps of each.
        longest: Places of the longest window.
        batch_tokens: Places of a batch.

    Returns:
        (rows, places), shortest windows first: places are quantiles of the lengths, rounded up to multiples of 4, and
        `longest`.
    """
    cut = np.clip(lengths[lengths > 0], 1, longest)
    quantiles = np.quantile(cut, _QUANTILES, method="higher") if len(cut) else np.empty(0, np.int64)
    rounded = -(-quantiles.astype(np.int64) // 4) * 4
    places = sorted({int(value) for value in rounded if value < longest * _NEAR} | {longest})
    return [(max(1, batch_tokens // count), count) for count in places]


@dataclass(frozen=True, slots=True)
class EpochBatches:
    """The batches of one epoch in the order to learn them in, each packed when it is reached.

    Attributes:
        histories: To learn from.
        weights: float32 [total], of each item as a target.
        side: Of these interactions and users.
        windows: That the histories are cut into.
        plan: For each batch the windows in it, int64 [up to rows], and its shape.
        mass: Sum of the weights of all targets.
    """

    histories: Histories
    weights: FloatArray
    side: SideFeatures
    windows: _Windows
    plan: list[tuple[NDArray[np.int64], tuple[int, int]]]
    mass: float

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[Batch]:
        for chosen, shape in self.plan:
            yield _pack(self.histories, self.weights, self.side, self.windows.take(chosen), shape)


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
    plan = []
    unpacked = np.empty(0, np.int64)
    shorter = 0
    for rows, places in shapes:
        fitting = np.flatnonzero(useful & (windows.lengths > shorter) & (windows.lengths <= places))
        shorter = places
        unpacked = random.permutation(np.concatenate([unpacked, fitting]))
        full = len(unpacked) if places == shapes[-1][1] else len(unpacked) // rows * rows
        plan += [(unpacked[begin : begin + rows], (rows, places)) for begin in range(0, full, rows)]
        # What fills no batch of short windows goes with the next longer ones.
        unpacked = unpacked[full:]
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
    histories: Histories,
    weights: FloatArray,
    side: SideFeatures,
    windows: _Windows,
    shape: tuple[int, int],
) -> Batch:
    """Fill one batch of a shape (rows, places) with at most so many windows."""
    begins, lengths, first, owners = windows
    context = np.empty((len(histories.items), 0), np.int32) if side.context is None else side.context
    user_features = np.empty((len(histories), 0), np.int32) if side.user_features is None else side.user_features
    items, mass = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    event_types, times = np.zeros(shape, np.int32), np.zeros(shape, np.int64)
    codes = np.zeros((*shape, context.shape[1]), np.int32)
    of_users = np.zeros((shape[0], user_features.shape[1]), np.int32)
    of_users[: len(begins)] = user_features[owners]
    columns = np.arange(shape[1])
    filled = columns < lengths[:, None]
    places = (begins[:, None] + columns)[filled]
    items[: len(begins)][filled] = histories.items[places]
    event_types[: len(begins)][filled] = histories.event_types[places]
    times[: len(begins)][filled] = histories.times[places]
    mass[: len(begins)][filled] = weights[places]
    codes[: len(begins)][filled] = context[places]
    mass[: len(begins), 0][~first] = 0.0
    gaps = gap_buckets(times)
    # Before 1970, what is padded with 0 would seem to come after a pause.
    gaps[: len(begins)] *= filled
    return Batch(items, event_types, gaps, mass, codes, of_users)
