"""The number of the present state of what others follow: assignments and trackers.

It grows with every change, so that watchers notice; one number for both, since both change seldom.
"""

from __future__ import annotations

from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import ServingRevision

__all__ = ["current_revision", "next_revision"]

_ROW = 1


def current_revision(unit: Unit) -> int:
    """Return the number of the present state; 1 before any change."""
    row = unit.get(ServingRevision, _ROW)
    return 1 if row is None else row.revision


def next_revision(unit: Unit) -> int:
    """Say that this unit of work changes the state; return its new number."""
    row = unit.get(ServingRevision, _ROW)
    if row is None:
        row = ServingRevision(id=_ROW, revision=1)
        unit.add(row)
    row.revision += 1
    return row.revision
