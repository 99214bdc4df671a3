"""Snapshots of the features of items, users and actions: columnar, memory-mapped, read by filters and trainings alike.

`publishing` writes one from a version of a dataset's table and opens it, `writer` makes its files, `columns` are what
it consists of, and `overlay` puts on top of it what the event log brought since.
"""

from common.features.columns import CategoriesColumn, FeatureColumn, NumbersColumn, TextsColumn
from common.features.overlay import Features, Put
from common.features.publishing import features_folder, features_location, open_snapshot, publish_snapshot
from common.features.snapshot import FeatureSnapshot

__all__ = [
    "CategoriesColumn",
    "FeatureColumn",
    "FeatureSnapshot",
    "Features",
    "NumbersColumn",
    "Put",
    "TextsColumn",
    "features_folder",
    "features_location",
    "open_snapshot",
    "publish_snapshot",
]
