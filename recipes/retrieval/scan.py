"""Exact search that reads little of the catalogue: what cannot be among the best is ruled out by what its bytes prove.

A query is the mean of the users m plus a rest r. Each item's product with m is kept as it is (how popular items are is
the same for everybody, and makes up most of many a score). For the product with r the item's vector is taken in
whitened coordinates, turned so that the first of them, the head, have most of its length. The head is a scale times
whole numbers from -127 to 127; of what that leaves out, and of the other coordinates, the tail, only lengths are kept.
So the product of query and item is at most that of the heads, plus the products of these lengths with those of the
query. Where that reaches the k-th best product so far, the item's own vector is multiplied; where not, it is not read.

Items that are alike stand in one block: halves of halves of the catalogue, cut where they differ most. Of each block
the least and the greatest of each coordinate are known, and with them what any of its items comes to at most. Blocks
that promise most come first, and those that cannot reach what was found are passed over. What a filter rules out is
never multiplied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.compiled import compiled, compiled_sums
from common.errors import CorruptArtifact
from recipes.data.histories import FloatArray, ItemIndexes
from recipes.retrieval.interface import Nearest
from recipes.retrieval.scan_build import BLOCK, ScanParts, make_parts
from recipes.retrieval.top_k import highest_places, reached_by_some
from recipes.retrieval.transforms import Transform

__all__ = ["ScanIndex", "build_scan", "turned_query"]

_PREFIX: Final = "scan"
_ARRAYS: Final = ScanParts._fields
_NOT_RESTRICTED: Final = np.empty(0, np.bool_)
#: Blocks that are searched first, best first: they make sure that most others need not be.
_FIRST: Final = 16
#: The same of many blocks: this part of them.
_FIRST_PART: Final = 32
#: Of scale, error, tail, offset and number of an item.
_NUMBERS_BYTES: Final = 20
#: Less than any product: what is less is nothing.
_LEAST, _MOST = np.float32(-3e38), np.float32(np.inf)


def build_scan(item_vectors: FloatArray, folder: Path, *, user_vectors: FloatArray) -> None:
    """Write the bytes of a catalogue and all that bounds need into an existing folder.

    Args:
        item_vectors: float32 [n_items, d].
        folder: Of the artifact.
        user_vectors: float32 [m, d], of users as they will ask; without any, bounds are wider.
    """
    transform, parts = make_parts(item_vectors, user_vectors)
    transform.save(folder, _PREFIX)
    save_arrays(folder, {f"{_PREFIX}_{name}": array for name, array in parts._asdict().items()})


@dataclass(frozen=True, slots=True, eq=False)
class ScanIndex:
    """Finds the best items for certain; see `recipes.retrieval.interface.ItemIndex`.

    Attributes:
        item_vectors: float32 [n_items, d].
        parts: What bounds are made of.
        size: Items that may be found.
        item_mean: float64 [d], the mean of the items, which the bounds leave out.
        to_rest: float64 [d, d], what the rests of queries are multiplied by: float32 would lose more than bounds allow
            for where some directions are rarely asked for.
    """

    item_vectors: FloatArray
    parts: ScanParts
    size: int
    item_mean: NDArray[np.float64]
    to_rest: NDArray[np.float64]

    @staticmethod
    def is_former(folder: Path) -> bool:
        """Return whether a folder has the files of an earlier scan, which are read no longer."""
        return (folder / f"{_PREFIX}_block_lengths.npy").exists()

    @classmethod
    def open(cls, folder: Path, item_vectors: FloatArray) -> ScanIndex:
        """Map what `build_scan` wrote.

        Args:
            folder: Of the artifact.
            item_vectors: float32 [n_items, d], those that it was made from.

        Raises:
            CorruptArtifact: A file is missing, unreadable or of another catalogue.
        """
        n_items, width = item_vectors.shape
        names = [f"{_PREFIX}_{name}" for name in _ARRAYS]
        mapped = map_arrays(folder, names)
        parts = ScanParts(*(mapped[name] for name in names))
        blocks = -(-n_items // BLOCK)
        head = parts.codes.shape[1] if parts.codes.ndim == 3 else 0
        shapes = {
            "codes": (blocks, head, BLOCK),
            "lows": (head, blocks),
            "highs": (head, blocks),
            "block_offsets": (blocks,),
            "block_tails": (blocks,),
            "centre": (width,),
            "greatest": (3,),
        }
        for name, array in parts._asdict().items():
            want = shapes.get(name, (blocks * BLOCK,))
            if array.shape != want:
                raise CorruptArtifact(f"`{_PREFIX}_{name}.npy`: got {array.shape}, want {want}, as the items tell")
        items = parts.items
        if not np.array_equal(np.bincount(items[items >= 0], minlength=n_items), np.ones(n_items, np.int64)):
            raise CorruptArtifact(f"`{_PREFIX}_items.npy`: got other items than 0 to {n_items - 1}, want each once")
        transform = Transform.load(folder, _PREFIX, width=width)
        mean, for_queries = transform.mean.astype(np.float64), transform.for_queries.astype(np.float64)
        return cls(item_vectors, parts, n_items, item_mean=mean, to_rest=for_queries)

    @property
    def bytes_per_item(self) -> int:
        """What an item takes in memory of its own where the search is narrowed."""
        return int(self.parts.codes.shape[1]) + _NUMBERS_BYTES

    def narrowed(self, allowed: NDArray[np.bool_]) -> ScanIndex:
        """Return a search that finds some of the items alone, in time and memory as they are many.

        Args:
            allowed: bool [n_items or more], which they are.
        """
        parts = self.parts
        size = _count_allowed(parts.items, allowed)
        made = _narrow(
            parts.codes, parts.scales, parts.errors, parts.tails, parts.offsets, parts.items, allowed, -(-size // BLOCK)
        )
        for array in made:
            array.flags.writeable = False  # as mapped ones, or all would be compiled once more for others
        return replace(self, parts=ScanParts(*made, parts.centre, parts.greatest), size=size)

    def nearest(self, query: FloatArray, limit: int, allowed: NDArray[np.bool_] | None = None) -> Nearest:
        """Find a few items among which the best `limit` are, of all or of those that are allowed.

        Args:
            query: float32 [d].
            limit: Items wanted, at least 1.
            allowed: bool [n_items or more], which items may be found; None for all.
        """
        items, bound = _nearest(
            self.parts.codes,
            self.parts.scales,
            self.parts.errors,
            self.parts.tails,
            self.parts.offsets,
            self.parts.items,
            self.parts.lows,
            self.parts.highs,
            self.parts.block_offsets,
            self.parts.block_tails,
            self.parts.centre,
            self.parts.greatest,
            self.item_mean,
            self.to_rest,
            self.item_vectors,
            query,
            limit,
            _NOT_RESTRICTED if allowed is None else allowed,
        )
        return Nearest(items, proven=True, bound=float(bound))


@compiled
def _count_allowed(items: ItemIndexes, allowed: NDArray[np.bool_]) -> int:
    """Count the items that are allowed."""
    count = 0
    for place in range(len(items)):
        if items[place] >= 0 and allowed[np.uint32(items[place])]:
            count += 1
    return count


@compiled
def _narrow(
    codes: NDArray[np.int8],
    scales: FloatArray,
    errors: FloatArray,
    tails: FloatArray,
    offsets: FloatArray,
    items: ItemIndexes,
    allowed: NDArray[np.bool_],
    blocks: int,
) -> tuple[
    NDArray[np.int8],
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
    ItemIndexes,
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
]:
    """Return what `ScanParts` has of the items that are allowed, in the same order, but for what is of all."""
    columns = codes.shape[1]
    new_codes, new_items = np.zeros((blocks, columns, 128), np.int8), np.full(blocks * 128, np.int32(-1))
    new_scales, new_errors = np.zeros(blocks * 128, np.float32), np.zeros(blocks * 128, np.float32)
    new_tails, new_offsets = np.zeros(blocks * 128, np.float32), np.zeros(blocks * 128, np.float32)
    lows, highs = np.full((columns, blocks), _MOST), np.full((columns, blocks), -_MOST)
    block_offsets, block_tails = np.full(blocks, -_MOST), np.zeros(blocks, np.float32)
    count = 0
    for place in range(len(items)):
        if items[place] < 0 or not allowed[np.uint32(items[place])]:
            continue
        block, column_place, old_block, old_place = count // 128, count % 128, place // 128, place % 128
        new_items[count], new_scales[count], new_errors[count] = items[place], scales[place], errors[place]
        new_tails[count], new_offsets[count] = tails[place], offsets[place]
        block_offsets[block] = max(block_offsets[block], offsets[place])
        block_tails[block] = max(block_tails[block], tails[place])
        # What a code stands for is within half a step of it.
        half = np.float32(0.501) * scales[place]
        for column in range(columns):
            code = codes[old_block, column, old_place]
            new_codes[block, column, column_place] = code
            value = np.float32(code) * scales[place]
            lows[column, block] = min(lows[column, block], value - half)
            highs[column, block] = max(highs[column, block], value + half)
        count += 1
    return (
        new_codes, new_scales, new_errors, new_tails, new_offsets, new_items, lows, highs, block_offsets, block_tails
    )  # fmt: skip


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
def _bound_blocks(
    lows: FloatArray,
    highs: FloatArray,
    offsets: FloatArray,
    tails: FloatArray,
    head: FloatArray,
    tail_length: np.float32,
    base: np.float32,
) -> FloatArray:
    """Return what the products of the items of each block are at most: float32 [blocks]."""
    bounds = np.empty(len(offsets), np.float32)
    for block in range(len(bounds)):
        bounds[block] = base + offsets[block] + tail_length * tails[block]
    for column in range(len(head)):
        value = head[column]
        ends = highs[column] if value > 0 else lows[column]
        for block in range(len(bounds)):
            bounds[block] += value * ends[block]
    return bounds


@compiled_sums
def _bound_block(
    codes: NDArray[np.int8],
    scales: FloatArray,
    errors: FloatArray,
    tails: FloatArray,
    offsets: FloatArray,
    head: FloatArray,
    head_length: np.float32,
    tail_length: np.float32,
    base: np.float32,
    upper: FloatArray,
) -> None:
    """Write what the products of a block's items are at most into `upper`."""
    for place in range(128):
        upper[place] = np.float32(0.0)
    for column in range(0, len(head), 4):
        first, second, third, fourth = head[column], head[column + 1], head[column + 2], head[column + 3]
        for place in range(128):
            upper[place] += (
                first * np.float32(codes[column, place])
                + second * np.float32(codes[column + 1, place])
                + third * np.float32(codes[column + 2, place])
                + fourth * np.float32(codes[column + 3, place])
            )
    for place in range(128):
        lengths = head_length * errors[place] + tail_length * tails[place]
        upper[place] = upper[place] * scales[place] + (offsets[place] + (lengths + base))


@compiled
def _count_reaching(values: FloatArray, bound: np.float32) -> int:
    """Count the values that reach a bound, in vector instructions: a maximum would take them one by one."""
    count = 0
    for place in range(len(values)):
        count += values[place] >= bound
    return count


@compiled_sums
def _product(vectors: FloatArray, item: np.uint32, query: FloatArray) -> np.float32:
    total = np.float32(0.0)
    for column in range(len(query)):
        total += vectors[item, column] * query[column]
    return total


@compiled
def _multiply(
    upper: FloatArray,
    items: ItemIndexes,
    least: np.float32,
    below: np.float32,
    vectors: FloatArray,
    query: FloatArray,
    slack: np.float32,
    allowed: NDArray[np.bool_],
    heap: FloatArray,
    candidates: ItemIndexes,
    products: FloatArray,
    count: int,
) -> int:
    """Multiply the items of a block that come to so much at most, and add those that may be among the best.

    Args:
        upper: float32 [128], what the products are at most.
        items: int32 [128].
        least: What is less is passed over.
        below: What is not less is passed over.
        vectors: float32 [n_items, d].
        query: float32 [d].
        slack: What rounding may hide in products.
        allowed: bool [n_items or more]; empty for all.
        heap: float32 [limit], the best products so far.
        candidates: int32, with room for 128 more.
        products: float32, theirs.
        count: How many candidates there are.

    Returns:
        How many there are then.
    """
    least = max(least, heap[0])
    if _count_reaching(upper, least) == 0:
        return count
    for begin in range(0, 128, 16):
        if _count_reaching(upper[begin : begin + 16], least) == 0:
            continue
        for place in range(begin, begin + 16):
            if not least <= upper[place] < below or upper[place] < heap[0]:
                continue
            item = np.uint32(items[place])
            if len(allowed) > 0 and not allowed[item]:
                continue
            product = _product(vectors, item, query)
            if product >= heap[0] - slack:
                candidates[count], products[count] = items[place], product
                count += 1
                if product > heap[0]:
                    _replace_least(heap, product)
    return count


@compiled
def _nearest(
    codes: NDArray[np.int8],
    scales: FloatArray,
    errors: FloatArray,
    tails: FloatArray,
    offsets: FloatArray,
    items: ItemIndexes,
    lows: FloatArray,
    highs: FloatArray,
    block_offsets: FloatArray,
    block_tails: FloatArray,
    centre: FloatArray,
    greatest: NDArray[np.float64],
    item_mean: NDArray[np.float64],
    to_rest: NDArray[np.float64],
    vectors: FloatArray,
    query: FloatArray,
    limit: int,
    allowed: NDArray[np.bool_],
) -> tuple[ItemIndexes, float]:
    """Return the items whose products reach the `limit`-th best, but for rounding, int32, in no order; and a bound.

    No product of any other item that is allowed is above the bound.
    """
    head, head_length, tail_length, of_mean, rounding = turned_query(
        query, centre, to_rest, item_mean, greatest, codes.shape[1]
    )
    # Bounds are of centred items: all products of one query are more by the same.
    base, slack = np.float32(of_mean + rounding), np.float32(2.0 * rounding)
    bounds = _bound_blocks(lows, highs, block_offsets, block_tails, head, tail_length, base)
    first = highest_places(bounds, max(_FIRST, len(bounds) // _FIRST_PART))
    heap = np.full(limit, np.float32(-np.inf))
    candidates, products, count = np.empty(4 * limit + 256, np.int32), np.empty(4 * limit + 256, np.float32), 0
    upper = np.empty((len(first), 128), np.float32)
    for turn in range(len(first) + len(bounds)):
        block = np.int64(first[turn]) if turn < len(first) else np.int64(turn - len(first))
        if bounds[block] < heap[0] or bounds[block] == -np.inf:
            continue
        bounds[block] = -np.inf
        begin, end, row = block * 128, block * 128 + 128, min(turn, len(first) - 1)
        _bound_block(
            codes[block], scales[begin:end], errors[begin:end], tails[begin:end], offsets[begin:end],
            head, head_length, tail_length, base, upper[row],
        )  # fmt: skip
        if turn < len(first) or items[end - 1] < 0:
            _forbid(upper[row], items[begin:end], allowed)
        if turn < len(first) - 1:
            continue
        if turn == len(first) - 1:
            # Of the first blocks those items come first that promise most: hardly any other is multiplied then.
            promised = max(reached_by_some(upper.ravel(), limit), _LEAST)
            for least, below in ((promised, _MOST), (_LEAST, promised)):
                for place in range(len(first)):
                    of_block = items[first[place] * 128 : first[place] * 128 + 128]
                    count, candidates, products = _with_room(candidates, products, count, heap[0] - slack)
                    count = _multiply(
                        upper[place], of_block, least, below, vectors, query, slack, allowed, heap, candidates,
                        products, count,
                    )  # fmt: skip
            continue
        count, candidates, products = _with_room(candidates, products, count, heap[0] - slack)
        count = _multiply(
            upper[row], items[begin:end], _LEAST, _MOST, vectors, query, slack, allowed, heap, candidates, products,
            count,
        )  # fmt: skip
    kept = _keep_reaching(candidates, products, count, heap[0] - slack)
    return candidates[:kept].copy(), heap[0] + rounding


@compiled_sums
def turned_query(
    query: FloatArray,
    centre: FloatArray,
    to_rest: NDArray[np.float64],
    item_mean: NDArray[np.float64],
    greatest: NDArray[np.float64],
    columns: int,
) -> tuple[FloatArray, np.float32, np.float32, float, float]:
    """Return the head of a query's rest, its length, that of the tail, the product with the mean item, and a rounding.

    The rounding is what float32 arithmetic may hide in any product or bound.
    """
    width = len(query)
    rest, head = np.zeros(width), np.zeros(columns, np.float32)
    square, of_mean = 0.0, 0.0
    for row in range(width):
        value = np.float64(query[row])
        square += value * value
        of_mean += value * item_mean[row]
        value -= centre[row]
        for column in range(width):
            rest[column] += value * to_rest[row, column]
    head_square, tail_square = 0.0, 0.0
    for column in range(width):
        if column < columns:
            head[column] = rest[column]
            head_square += rest[column] * rest[column]
        else:
            tail_square += rest[column] * rest[column]
    magnitude = np.sqrt(square) * greatest[0] + np.sqrt(head_square + tail_square) * greatest[1] + greatest[2]
    rounding = (width + 32) * 1.2e-7 * (magnitude + abs(of_mean))
    head_length, tail_length = np.float32(np.sqrt(head_square) * 1.000001), np.float32(np.sqrt(tail_square) * 1.000001)
    return head, head_length, tail_length, of_mean, rounding


@compiled
def _forbid(upper: FloatArray, items: ItemIndexes, allowed: NDArray[np.bool_]) -> None:
    """Let the items of a block that are none, or that are not allowed, come to nothing."""
    for place in range(128):
        if items[place] < 0 or (len(allowed) > 0 and not allowed[np.uint32(items[place])]):
            upper[place] = -np.inf


@compiled
def _with_room(
    candidates: ItemIndexes, products: FloatArray, count: int, bound: np.float32
) -> tuple[int, ItemIndexes, FloatArray]:
    """Make room for 128 more candidates: without those that do not reach a bound, or in longer arrays."""
    if count + 128 <= len(candidates):
        return count, candidates, products
    count = _keep_reaching(candidates, products, count, bound)
    if 2 * (count + 128) <= len(candidates):
        return count, candidates, products
    more_candidates, more_products = np.empty(2 * len(candidates), np.int32), np.empty(2 * len(candidates), np.float32)
    more_candidates[:count], more_products[:count] = candidates[:count], products[:count]
    return count, more_candidates, more_products


@compiled
def _keep_reaching(candidates: ItemIndexes, products: FloatArray, count: int, bound: np.float32) -> int:
    """Move those of the first `count` that reach a bound to the front, and return how many they are."""
    kept = 0
    for place in range(count):
        if products[place] >= bound:
            candidates[kept], products[kept] = candidates[place], products[place]
            kept += 1
    return kept
