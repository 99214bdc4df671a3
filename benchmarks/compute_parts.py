"""The parts of `compute`: what a batch job does with some users, and nothing at all."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Part", "nothing", "score"]

_DIMENSIONS = 64
_RESULTS = 25

#: How many items there are, how many users are in the part, and where their random numbers begin.
Part = tuple[int, int, int]


@lru_cache(maxsize=1)
def _items(n_items: int) -> NDArray[np.float32]:
    """Return the items' vectors, float32 [n_items, 64]: what a process opens once."""
    return np.random.default_rng(0).standard_normal((n_items, _DIMENSIONS), dtype=np.float32)


def score(part: Part) -> bytes:
    """Score all items for each user of a part, and return the best of each as bytes of int64 [n_users, 25]."""
    n_items, n_users, seed = part
    users = np.random.default_rng(seed).standard_normal((n_users, _DIMENSIONS), dtype=np.float32)
    scores = users @ _items(n_items).T
    return np.argpartition(scores, -_RESULTS, axis=1)[:, -_RESULTS:].tobytes()


def nothing(part: bytes) -> bytes:
    """Return what came: what a part costs beside its work."""
    return part
