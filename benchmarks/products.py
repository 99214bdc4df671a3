"""Plain programs that find the best items of users, by a matrix product and a search: beside `benchmarks.batch`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from common.compute.local import LocalCompute
from recipes.retrieval.top_k import top_k

__all__ = ["RESULTS", "Block", "multiply", "run_blas", "run_implicit"]

#: Items of a user.
RESULTS: Final = 25
#: Users of one product.
_BLOCK: Final = 200


@dataclass(frozen=True, slots=True)
class Block:
    """Users of a product, and where vectors are.

    Attributes:
        folder: With `items.npy` and `users.npy`.
        begin: The first of the users.
        end: The one behind the last.
        is_compiled: Whether Tailorbird's search for the best is taken.
    """

    folder: Path
    begin: int
    end: int
    is_compiled: bool


def multiply(block: Block) -> int:
    """Find the best items of a block of users; a task of `common.compute`."""
    items = np.load(block.folder / "items.npy", mmap_mode="r")
    users = np.load(block.folder / "users.npy", mmap_mode="r")[block.begin : block.end]
    scores = users @ items.T
    if block.is_compiled:
        for row in scores:
            top_k(row, RESULTS)
        return len(scores)
    best = np.argpartition(scores, -RESULTS, axis=1)[:, -RESULTS:]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
    return len(np.take_along_axis(best, order, axis=1))


def run_blas(folder: Path, *, lines: int, processes: int, is_compiled: bool) -> float:
    """Return the users per second of products."""
    blocks = [Block(folder, begin, min(begin + _BLOCK, lines), is_compiled) for begin in range(0, lines, _BLOCK)]
    began = time.perf_counter()
    done = sum(count for _, count in LocalCompute(processes).run(multiply, blocks, check=lambda: None))
    assert done == lines, "every user has an answer"
    return lines / (time.perf_counter() - began)


def run_implicit(folder: Path, *, lines: int, processes: int) -> float:
    """Return the users per second of implicit."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    items, users = np.load(folder / "items.npy"), np.load(folder / "users.npy")
    model = AlternatingLeastSquares(factors=items.shape[1], num_threads=processes)
    model.item_factors, model.user_factors = items, users
    with threadpool_limits(1, "blas"):  # it runs threads of its own
        began = time.perf_counter()
        best, _ = model.recommend(np.arange(lines), None, N=RESULTS, filter_already_liked_items=False)
        seconds = time.perf_counter() - began
    assert best.shape == (lines, RESULTS), "every user has an answer"
    return lines / seconds
