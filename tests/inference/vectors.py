"""A catalogue of random vectors, for tests of finding items."""

from __future__ import annotations

import numpy as np

N_ITEMS, DIMENSIONS = 3000, 16


def vectors():
    return np.random.default_rng(4).standard_normal((N_ITEMS, DIMENSIONS)).astype(np.float32)


def embedding(seed):
    return np.random.default_rng(seed).standard_normal(DIMENSIONS).astype(np.float32)
