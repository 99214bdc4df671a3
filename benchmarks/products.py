"""Plain programs that find the best items of users, by a matrix product and a search: beside `benchmarks.batch`."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from common.compute.local import LocalCompute
from recipes.retrieval.top_k import top_k

__all__ = ["RESULTS", "Block", "Speed", "cpu_seconds", "multiply", "run_blas", "run_implicit"]

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


class Speed(NamedTuple):
    """How fast users are answered.

    Attributes:
        per_second: Users.
        cpu_micros: Processor time per user, in microseconds.
    """

    per_second: float
    cpu_micros: float


def cpu_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def multiply(block: Block) -> tuple[int, float]:
    """Find the best items of a block of users; a task of `common.compute`.

    Returns:
        How many users, and the seconds of processor time that it took.
    """
    items = np.load(block.folder / "items.npy", mmap_mode="r")
    users = np.load(block.folder / "users.npy", mmap_mode="r")[block.begin : block.end]
    with threadpool_limits(1, "blas"):
        began = time.process_time()
        scores = users @ items.T
        if block.is_compiled:
            for row in scores:
                top_k(row, RESULTS)
        else:
            best = np.argpartition(scores, -RESULTS, axis=1)[:, -RESULTS:]
            order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
            np.take_along_axis(best, order, axis=1)
        return len(users), time.process_time() - began


def run_blas(folder: Path, *, lines: int, processes: int, is_compiled: bool) -> Speed:
    """Multiply and search for so many users; the clock starts when each process has done a block."""
    blocks = [Block(folder, begin, min(begin + _BLOCK, lines), is_compiled) for begin in range(0, lines, _BLOCK)]
    began, timed, cpu = time.perf_counter(), 0, 0.0
    for done, (_, (users, seconds)) in enumerate(LocalCompute(processes).run(multiply, blocks, check=lambda: None)):
        if done < processes:
            began = time.perf_counter()
        else:
            timed, cpu = timed + users, cpu + seconds
    return Speed(timed / (time.perf_counter() - began), cpu / timed * 1e6)


def run_implicit(folder: Path, *, lines: int, processes: int) -> Speed:
    """Let `implicit` recommend to so many users."""
    from implicit.cpu.als import AlternatingLeastSquares

    items, users = np.load(folder / "items.npy"), np.load(folder / "users.npy")
    with threadpool_limits(1, "blas"):  # it runs threads of its own
        model = AlternatingLeastSquares(factors=items.shape[1], num_threads=processes)
        model.item_factors, model.user_factors = items, users
        began, cpu = time.perf_counter(), time.process_time()
        best, _ = model.recommend(np.arange(lines), None, N=RESULTS, filter_already_liked_items=False)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert best.shape == (lines, RESULTS), "every user has an answer"
    return Speed(lines / seconds, cpu / lines * 1e6)
