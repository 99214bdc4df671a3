"""First members of what a child says to its parent, as tuples or, where a task made it, as pickled tuples."""

from __future__ import annotations

from typing import Final

__all__ = ["DONE", "FAILED", "LOST", "NEXT", "NO_CLUSTER"]

#: Of a part: its result, or its error.
DONE: Final = "done"
FAILED: Final = "failed"
#: Of a driver: it wants the next part, or None when there are no more.
NEXT: Final = "next"
#: Of a driver: the place of a part that was lost in its last attempt, how, and whether for lack of memory.
LOST: Final = "lost"
#: Of a driver: there is no cluster, and why.
NO_CLUSTER: Final = "no cluster"
