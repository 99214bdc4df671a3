"""Exact search by a scan over items as bytes: nearly all items are ruled out by what their bytes and lengths prove.

A query is the mean of the users m plus a rest r. Each item's product with m is kept as it is (how popular items are is
the same for everybody, and makes up most of many a score); for the product with r the item's vector, in whitened
coordinates, is a scale times whole numbers from -127 to 127, and the length of what that leaves out is known. So the
product of query and item is known up to |r| x that length, and an item can be among the best k only if the upper end
of that reaches the k-th largest lower end. What is left is hardly more than k items, and has the best k among it for
certain. Blocks of items that cannot reach that end by their lengths are passed over, and the most promising come first.

One compiled call does it, with less than a third of the memory to read that float32 has; what a filter rules out never
gets in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.compiled import compiled, compiled_sums
from common.errors import CorruptArtifact
from recipes.data.histories import FloatArray, ItemIndexes
from recipes.retrieval.interface import Nearest
from recipes.retrieval.transforms import Transform

__all__ = ["ScanIndex", "build_scan"]

#: Items of a block: their sums fit into a processor's nearest memory.
_BLOCK: Final = 128
#: Coordinates that are added at once.
_STEP: Final = 4
_LARGEST: Final = 127
_PREFIX: Final = "scan"
_ARRAYS: Final = ("codes", "scales", "errors", "offsets", "items", "block_lengths", "block_offsets", "centre")
_NOT_RESTRICTED: Final = np.empty(0, np.bool_)
#: Share of what bounds are made of that rounding may hide.
_ROUNDING: Final = 1e-5


def build_scan(item_vectors: FloatArray, folder: Path, *, user_vectors: FloatArray) -> None:
    """Write the bytes of a catalogue and all that bounds need into an existing folder.

    Args:
        item_vectors: float32 [n_items, d].
        folder: Of the artifact.
        user_vectors: float32 [m, d], of users as they will ask; without any, bounds are wider.
    """
    n_items, width = item_vectors.shape
    padded_width = -(-width // _STEP) * _STEP
    blocks = -(-n_items // _BLOCK)
    centre = user_vectors.mean(axis=0, dtype=np.float64).astype(np.float32) if len(user_vectors) else np.zeros(width)
    rests = (user_vectors - centre).astype(np.float32)
    transform = Transform.fit("whitened", item_vectors=item_vectors, user_vectors=rests)
    typical = float(np.median(np.linalg.norm(transform.queries(rests), axis=1))) if len(rests) else 1.0
    lengths, offsets = np.empty(n_items), np.empty(n_items)
    for part in _parts(n_items):
        lengths[part] = np.linalg.norm(transform.items(item_vectors[part]), axis=1)
        offsets[part] = (item_vectors[part].astype(np.float64) - transform.mean) @ centre.astype(np.float64)
    order = np.argsort(-(offsets + typical * lengths), kind="stable")
    lengths, offsets = lengths[order], offsets[order]
    codes = np.zeros((blocks * _BLOCK, padded_width), np.int8)
    padded = {name: np.zeros(blocks * _BLOCK, np.float32) for name in ("scales", "errors", "offsets")}
    # What float32 arithmetic may add to an error, as a share of the length.
    slack = (padded_width + 16) * float(np.finfo(np.float32).eps)
    for part in _parts(n_items):
        moved = transform.items(item_vectors[order[part]])
        scales = np.maximum(np.abs(moved).max(axis=1) / _LARGEST, np.finfo(np.float32).tiny).astype(np.float32)
        rounded = np.rint(moved / scales[:, None].astype(np.float64))
        rest = np.linalg.norm(moved - rounded * scales[:, None].astype(np.float64), axis=1)
        codes[part, :width] = rounded
        padded["scales"][part] = scales
        padded["errors"][part] = rest * (1 + 1e-6) + slack * lengths[part]
    padded["offsets"][:n_items] = offsets
    items = np.full(blocks * _BLOCK, -1, np.int32)
    items[:n_items] = order
    starts = np.arange(0, n_items, _BLOCK)
    transform.save(folder, _PREFIX)
    save_arrays(
        folder,
        {
            f"{_PREFIX}_codes": codes.reshape(blocks, _BLOCK, padded_width).transpose(0, 2, 1),
            **{f"{_PREFIX}_{name}": values for name, values in padded.items()},
            f"{_PREFIX}_items": items,
            f"{_PREFIX}_block_lengths": (np.maximum.reduceat(lengths, starts) * (1 + 1e-6)).astype(np.float32),
            f"{_PREFIX}_block_offsets": np.maximum.reduceat(offsets, starts).astype(np.float32),
            f"{_PREFIX}_centre": centre.astype(np.float32),
        },
    )


@dataclass(frozen=True, slots=True, eq=False)
class ScanIndex:
    """Finds the best items for certain; see `recipes.retrieval.interface.ItemIndex`.

    Attributes:
        codes: int8 [blocks, d rounded up, 128].
        scales: float32 [blocks x 128].
        errors: float32 [blocks x 128], lengths of what the codes leave out.
        offsets: float32 [blocks x 128], products with the mean of the users.
        items: int32 [blocks x 128]; -1 for none.
        block_lengths: float32 [blocks], the greatest length of each block.
        block_offsets: float32 [blocks], the greatest offset of each block.
        centre: float32 [d], the mean of the users.
        item_mean: float64 [d], the mean of the items, which the codes leave out.
        to_rest: float64 [d, d], what the rests of queries are multiplied by: float32 would lose more than bounds allow
            for where some directions are rarely asked for.
    """

    codes: NDArray[np.int8]
    scales: FloatArray
    errors: FloatArray
    offsets: FloatArray
    items: ItemIndexes
    block_lengths: FloatArray
    block_offsets: FloatArray
    centre: FloatArray
    item_mean: NDArray[np.float64]
    to_rest: NDArray[np.float64]

    @classmethod
    def open(cls, folder: Path, *, n_items: int, width: int) -> ScanIndex:
        """Map what `build_scan` wrote.

        Raises:
            CorruptArtifact: A file is missing, unreadable or of another catalogue.
        """
        names = [f"{_PREFIX}_{name}" for name in _ARRAYS]
        mapped = map_arrays(folder, names)
        arrays = {name: mapped[full] for name, full in zip(_ARRAYS, names, strict=True)}
        blocks = -(-n_items // _BLOCK)
        shapes = {
            "codes": (blocks, -(-width // _STEP) * _STEP, _BLOCK),
            "block_lengths": (blocks,),
            "block_offsets": (blocks,),
            "centre": (width,),
        }
        for name, array in arrays.items():
            want = shapes.get(name, (blocks * _BLOCK,))
            if array.shape != want:
                raise CorruptArtifact(f"`{_PREFIX}_{name}.npy`: got {array.shape}, want {want}, as the items tell")
        items = arrays["items"]
        if not np.array_equal(np.bincount(items[items >= 0], minlength=n_items), np.ones(n_items, np.int64)):
            raise CorruptArtifact(f"`{_PREFIX}_items.npy`: got other items than 0 to {n_items - 1}, want each once")
        transform = Transform.load(folder, _PREFIX, width=width)
        mean, for_queries = transform.mean.astype(np.float64), transform.for_queries.astype(np.float64)
        return cls(**arrays, item_mean=mean, to_rest=for_queries)

    def nearest(self, query: FloatArray, limit: int, allowed: NDArray[np.bool_] | None = None) -> Nearest:
        """Find a few items among which the best `limit` are, of all or of those that are allowed.

        Args:
            query: float32 [d].
            limit: Items wanted, at least 1.
            allowed: bool [n_items or more], which items may be found; None for all.
        """
        rest = (query.astype(np.float64) - self.centre) @ self.to_rest
        padded = np.zeros(self.codes.shape[1], np.float32)
        padded[: len(rest)] = rest
        candidates, bound = _scan(
            self.codes,
            self.scales,
            self.errors,
            self.offsets,
            self.items,
            self.block_lengths,
            self.block_offsets,
            padded,
            limit,
            _NOT_RESTRICTED if allowed is None else allowed,
        )
        # Products are with centred items: all of one query are less by the same.
        of_mean = float(query.astype(np.float64) @ self.item_mean)
        # A little more, for what rounding takes off sums of which the parts cancel.
        rounding = _ROUNDING * (abs(float(bound)) + abs(of_mean)) if np.isfinite(bound) else 0.0
        return Nearest(candidates, proven=True, bound=float(bound) + of_mean + rounding)


def _parts(n_items: int) -> list[slice]:
    """Divide items into slices that take little memory as float64."""
    return [slice(begin, min(begin + 65_536, n_items)) for begin in range(0, n_items, 65_536)]


@compiled
def _replace_least(heap: FloatArray, value: np.float32) -> None:
    """Replace the least of a heap by a larger value."""
    place, size = 0, len(heap)
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = value


@compiled_sums
def _score_block(
    codes: NDArray[np.int8],
    scales: FloatArray,
    errors: FloatArray,
    offsets: FloatArray,
    rest: FloatArray,
    length: np.float32,
    scores: FloatArray,
    upper: FloatArray,
) -> np.float32:
    """Score a block's items into `scores` and `upper`, what the products are at most; return the greatest upper end."""
    for place in range(128):
        scores[place] = np.float32(0.0)
    for column in range(0, len(rest), 4):
        first, second, third, fourth = rest[column], rest[column + 1], rest[column + 2], rest[column + 3]
        for place in range(128):
            scores[place] += (
                first * np.float32(codes[column, place])
                + second * np.float32(codes[column + 1, place])
                + third * np.float32(codes[column + 2, place])
                + fourth * np.float32(codes[column + 3, place])
            )
    greatest = np.float32(-np.inf)
    for place in range(128):
        scores[place] = scores[place] * scales[place] + offsets[place]
        # The last term is what rounding of the offset itself may hide.
        upper[place] = scores[place] + length * errors[place] + abs(offsets[place]) * np.float32(5e-7)
        greatest = max(greatest, upper[place])
    return greatest


@compiled
def _scan(
    codes: NDArray[np.int8],
    scales: FloatArray,
    errors: FloatArray,
    offsets: FloatArray,
    items: ItemIndexes,
    block_lengths: FloatArray,
    block_offsets: FloatArray,
    rest: FloatArray,
    limit: int,
    allowed: NDArray[np.bool_],
) -> tuple[ItemIndexes, np.float32]:
    """Return the items whose upper ends reach the `limit`-th largest lower end, int32, in no order; and that end."""
    square = 0.0
    for column in range(len(rest)):
        square += rest[column] * rest[column]
    # A little longer, for what rounding takes off.
    length = np.float32(np.sqrt(square) * 1.00001)
    scores, upper = np.empty(128, np.float32), np.empty(128, np.float32)
    heap = np.full(limit, np.float32(-np.inf))
    # Room for all costs nothing: what is not written to is never made.
    candidates, bounds = np.empty(len(items), np.int32), np.empty(len(items), np.float32)
    count = 0
    restricted = len(allowed) > 0
    for block in range(len(codes)):
        if block_offsets[block] + length * block_lengths[block] < heap[0]:
            continue
        begin, end = block * 128, block * 128 + 128
        greatest = _score_block(
            codes[block], scales[begin:end], errors[begin:end], offsets[begin:end], rest, length, scores, upper
        )
        if greatest < heap[0]:
            continue
        for place in range(128):
            if upper[place] < heap[0]:
                continue
            item = items[begin + place]
            if item < 0 or (restricted and not allowed[np.uint32(item)]):
                continue
            candidates[count] = item
            bounds[count] = upper[place]
            count += 1
            lower = scores[place] - (upper[place] - scores[place])
            if lower > heap[0]:
                _replace_least(heap, lower)
    kept = 0
    for place in range(count):
        if bounds[place] >= heap[0]:
            candidates[kept] = candidates[place]
            kept += 1
    return candidates[:kept].copy(), heap[0]
