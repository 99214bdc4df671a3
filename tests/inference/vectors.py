"""A catalogue of random vectors with every kind of index, for tests of finding items."""

from __future__ import annotations

import numpy as np

from recipes.retrieval.annoy import AnnoyIndex, build_annoy
from recipes.retrieval.lists import ListIndex, build_lists
from recipes.retrieval.scan import ScanIndex, build_scan
from recipes.retrieval.transforms import Transform

N_ITEMS, DIMENSIONS = 3000, 16
#: Kinds of indexes; None has none.
KINDS = (None, "scan", "lists", "annoy")


def vectors():
    return np.random.default_rng(4).standard_normal((N_ITEMS, DIMENSIONS)).astype(np.float32)


def embedding(seed):
    return np.random.default_rng(seed).standard_normal(DIMENSIONS).astype(np.float32)


def build_indexes(folder):
    users = np.stack([embedding(seed) for seed in range(1000, 1300)])
    transform = Transform.fit("whitened", item_vectors=vectors(), user_vectors=users)
    build_scan(vectors(), folder, user_vectors=users)
    build_annoy(vectors(), folder, transform=transform, seed=1, head=60)
    build_lists(vectors(), users, folder, transform=transform, clusters=64, length=400, seed=1)


def open_kind(folder, kind, *, thorough=False):
    """Open an index and the scan; a thorough one looks at everything that it has."""
    if kind is None:
        return None, None
    scan = ScanIndex.open(folder, vectors())
    if kind == "annoy":
        return AnnoyIndex(folder, vectors(), search_k=10_000_000 if thorough else 1000), scan
    if kind == "lists":
        return ListIndex.open(folder, vectors(), probes=64 if thorough else 4), scan
    return scan, scan
