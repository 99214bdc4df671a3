"""What the exact search knows of a catalogue: bytes, lengths and blocks of items that are alike; see `scan`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, ItemIndexes
from recipes.retrieval.transforms import Transform

__all__ = ["BLOCK", "ScanParts", "make_parts"]

#: Items of a block: what is worked out of them fits into a processor's nearest memory.
BLOCK: Final = 128
#: Coordinates that are added at once.
_STEP: Final = 4
_LARGEST: Final = 127
#: Items that are turned at a time, as float64.
_PART: Final = 65_536
#: What the width of the head is chosen by: so many items and users, and the best of all items that they would look for.
_SAMPLED_ITEMS, _SAMPLED_USERS, _BEST = 20_000, 64, 100
#: What reading an item's own vector costs, in coordinates of heads that are read in its place.
_VECTOR_COST: Final = 2_500.0
#: Bounds are wider by this share, for the rounding of what they are written as.
_WIDER: Final = 1 + 1e-6


class ScanParts(NamedTuple):
    """What bounds are made of.

    Attributes:
        codes: int8 [blocks, columns, 128], of the heads.
        scales: float32 [blocks x 128], what they are multiplied by.
        errors: float32 [blocks x 128], lengths of what the codes leave out of the heads.
        tails: float32 [blocks x 128], lengths of the other coordinates.
        offsets: float32 [blocks x 128], products with the mean of the users.
        items: int32 [blocks x 128]; -1 for none.
        lows: float32 [columns, blocks], the least of each coordinate.
        highs: float32 [columns, blocks], the greatest.
        block_offsets: float32 [blocks], the greatest offset.
        block_tails: float32 [blocks], the greatest tail.
        centre: float32 [d], the mean of the users.
        greatest: float64 [3]: the greatest length of an item's vector, in the new coordinates too, and of an offset.
    """

    codes: NDArray[np.int8]
    scales: FloatArray
    errors: FloatArray
    tails: FloatArray
    offsets: FloatArray
    items: ItemIndexes
    lows: FloatArray
    highs: FloatArray
    block_offsets: FloatArray
    block_tails: FloatArray
    centre: FloatArray
    greatest: NDArray[np.float64]


def make_parts(item_vectors: FloatArray, user_vectors: FloatArray) -> tuple[Transform, ScanParts]:
    """Return the coordinates of a catalogue, and what bounds are made of in them; see `scan.build_scan`."""
    n_items, width = item_vectors.shape
    centre = np.zeros(width, np.float32)
    if len(user_vectors):
        centre = user_vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    rests = (user_vectors - centre).astype(np.float32)
    transform = _turned(Transform.fit("whitened", item_vectors=item_vectors, user_vectors=rests), item_vectors)
    columns = _head_width(transform, item_vectors, rests, centre)
    heads, tails = np.zeros((n_items, columns), np.float32), np.empty(n_items, np.float32)
    offsets, greatest = np.empty(n_items, np.float32), np.zeros(3)
    kept = min(columns, width)
    for part in _parts(n_items):
        vectors = item_vectors[part].astype(np.float64)
        moved = transform.items(item_vectors[part])
        heads[part, :kept] = moved[:, :kept]
        tails[part] = np.linalg.norm(moved[:, kept:], axis=1) * _WIDER
        offsets[part] = (vectors - transform.mean) @ centre.astype(np.float64)
        lengths = (np.linalg.norm(values, axis=1).max(initial=0.0) for values in (vectors, moved))
        greatest = np.maximum(greatest, (*lengths, np.abs(offsets[part]).max(initial=0.0)))
    order = _in_blocks(np.column_stack([offsets, heads]))
    heads, tails, offsets = heads[order], tails[order], offsets[order]
    blocks = -(-n_items // BLOCK)
    codes = np.zeros((blocks * BLOCK, columns), np.int8)
    padded = {name: np.zeros(blocks * BLOCK, np.float32) for name in ("scales", "errors", "tails", "offsets")}
    padded["tails"][:n_items], padded["offsets"][:n_items] = tails, offsets
    for part in _parts(n_items):
        head = heads[part].astype(np.float64)
        scales = np.maximum(np.abs(head).max(axis=1) / _LARGEST, np.finfo(np.float32).tiny).astype(np.float32)
        rounded = np.rint(head / scales[:, None].astype(np.float64))
        codes[part], padded["scales"][part] = rounded, scales
        padded["errors"][part] = np.linalg.norm(head - rounded * scales[:, None].astype(np.float64), axis=1) * _WIDER
    items = np.full(blocks * BLOCK, -1, np.int32)
    items[:n_items] = order
    starts = np.arange(0, n_items, BLOCK)
    return transform, ScanParts(
        codes=np.ascontiguousarray(codes.reshape(blocks, BLOCK, columns).transpose(0, 2, 1)),
        **padded,
        items=items,
        lows=np.ascontiguousarray(np.minimum.reduceat(heads, starts).T),
        highs=np.ascontiguousarray(np.maximum.reduceat(heads, starts).T),
        block_offsets=np.maximum.reduceat(offsets, starts),
        block_tails=np.maximum.reduceat(tails, starts),
        centre=centre,
        greatest=greatest * _WIDER,
    )


def _parts(n_items: int) -> Iterator[slice]:
    """Divide items into slices that take little memory as float64."""
    for begin in range(0, n_items, _PART):
        yield slice(begin, min(begin + _PART, n_items))


def _turned(transform: Transform, item_vectors: FloatArray) -> Transform:
    """Turn the coordinates so that items differ most in the first, and least in the last."""
    width = item_vectors.shape[1]
    moments = np.zeros((width, width))
    for part in _parts(len(item_vectors)):
        moved = transform.items(item_vectors[part])
        moments += moved.T @ moved
    directions: NDArray[np.float64] = np.linalg.eigh(moments)[1][:, ::-1]
    return transform.turned(directions)


def _head_width(transform: Transform, item_vectors: FloatArray, rests: FloatArray, centre: FloatArray) -> int:
    """Return how many coordinates are best kept of each item: a longer head takes longer, and lets fewer items in."""
    n_items, width = item_vectors.shape
    padded: int = -(-width // _STEP) * _STEP
    sample = item_vectors[:: max(1, n_items // _SAMPLED_ITEMS)]
    moved = transform.items(sample)
    offsets = (sample.astype(np.float64) - transform.mean) @ centre.astype(np.float64)
    queries = transform.queries(rests[:: max(1, len(rests) // _SAMPLED_USERS)]).astype(np.float64)
    if not len(queries):
        queries = np.random.default_rng(0).standard_normal((_SAMPLED_USERS, width))
    if not len(sample):
        return padded
    place = min(len(sample), max(1, round(_BEST * len(sample) / n_items)))
    products = queries @ moved.T + offsets
    worst = -np.partition(-products, place - 1, axis=1)[:, place - 1]
    costs = {padded: padded + _VECTOR_COST * place / len(sample)}
    for columns in range(_STEP, width, _STEP):
        lengths = np.linalg.norm(moved[:, columns:], axis=1)
        upper = queries[:, :columns] @ moved[:, :columns].T + offsets
        upper += np.outer(np.linalg.norm(queries[:, columns:], axis=1), lengths)
        costs[columns] = columns + _VECTOR_COST * float(np.mean(upper >= worst[:, None]))
    return min(costs, key=costs.__getitem__)


def _in_blocks(coordinates: FloatArray) -> ItemIndexes:
    """Return an order in which each 128 items are alike: parts are halved where they differ most, until that is it.

    Args:
        coordinates: float32 [n_items, k].
    """
    ordered, pending = list[NDArray[np.int64]](), [np.arange(len(coordinates))]
    while pending:
        part = pending.pop()
        if len(part) <= BLOCK:
            ordered.append(part)
            continue
        values = coordinates[part]
        widest = values[:, int(values.std(axis=0).argmax())]
        # All blocks but the last are full.
        half = -(-len(part) // (2 * BLOCK)) * BLOCK
        split = np.argpartition(widest, half)
        pending += [part[split[half:]], part[split[:half]]]
    return np.concatenate([*ordered, np.empty(0, np.int64)]).astype(np.int32)
