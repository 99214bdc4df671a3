"""The revision of the serving state, i.e. of the assignments and the trackers that other services watch.

It grows by one with every change of either; one number for both is enough, since both change seldom.
"""

from __future__ import annotations

from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import ServingRevision

__all__ = ["current_revision", "next_revision"]

_ROW = 1


def current_revision(unit: Unit) -> int:
    """Return the current revision; 1 before any change."""
    row = unit.get(ServingRevision, _ROW)
    return 1 if row is None else row.revision


def next_revision(unit: Unit) -> int:
    """Increase the revision, because this unit of work changes the serving state, and return it."""
    row = unit.get(ServingRevision, _ROW)
    if row is None:
        row = ServingRevision(id=_ROW, revision=1)
        unit.add(row)
    row.revision += 1
    return row.revision
