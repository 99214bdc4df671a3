"""The states of resources, spelt as Personalize spells them.

Dataset groups, schemas, datasets, solutions and event trackers are complete when their Create call has committed, so
they are ACTIVE from the beginning. Import jobs, solution versions and campaigns begin as CREATE PENDING.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["BLOCKING", "CREATING", "DELETING", "STOPPABLE", "Status"]


class Status(StrEnum):
    """A state, spelt as in responses."""

    CREATE_PENDING = "CREATE PENDING"
    CREATE_IN_PROGRESS = "CREATE IN_PROGRESS"
    ACTIVE = "ACTIVE"
    CREATE_FAILED = "CREATE FAILED"
    CREATE_STOPPING = "CREATE STOPPING"
    CREATE_STOPPED = "CREATE STOPPED"
    DELETE_PENDING = "DELETE PENDING"
    DELETE_IN_PROGRESS = "DELETE IN_PROGRESS"


#: States of resources whose job, or loading by the runtimes, waits or is in progress.
CREATING: Final = frozenset({Status.CREATE_PENDING, Status.CREATE_IN_PROGRESS})
#: States in which a solution version or import job keeps the datasets that it uses from being deleted.
BLOCKING: Final = CREATING | {Status.CREATE_STOPPING}
#: States in which StopSolutionVersionCreation is allowed.
STOPPABLE: Final = CREATING
#: States of resources whose deletion has begun.
DELETING: Final = frozenset({Status.DELETE_PENDING, Status.DELETE_IN_PROGRESS})
