"""Feature snapshot jobs: the newest version of each item, user or action of a table, as columns."""

from trainer.features.handler import FeatureSnapshotJobHandler

__all__ = ["FeatureSnapshotJobHandler"]
