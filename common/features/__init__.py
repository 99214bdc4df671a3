"""Snapshots of the features of items, users and actions: columnar, memory-mapped, read by filters and trainings alike.

`publishing` writes one from a version of a dataset's table, with `writer`; `opening` opens it, `columns` are what it
consists of, `overlay` puts on top of it what the event log brought since, and `values` says what that is by columns.
Those who only read load no data frames: `publishing` and `writer` are imported by their names.
"""

from common.features.columns import CategoriesColumn, FeatureColumn, NumbersColumn, TextsColumn
from common.features.opening import open_snapshot
from common.features.overlay import Features, Put
from common.features.snapshot import FeatureSnapshot

__all__ = [
    "CategoriesColumn",
    "FeatureColumn",
    "FeatureSnapshot",
    "Features",
    "NumbersColumn",
    "Put",
    "TextsColumn",
    "open_snapshot",
]
