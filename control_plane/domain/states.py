"""The states of resources, spelt as Personalize spells them.

Dataset groups, schemas, datasets, solutions, event trackers, filters and metric attributions are complete when their
Create call has committed, so they are ACTIVE from the beginning. Jobs, solution versions, campaigns and recommenders
begin as CREATE PENDING; data deletion jobs have states of their own.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = [
    "BLOCKING",
    "CREATING",
    "DELETING",
    "DELETING_DATA",
    "STARTING",
    "STOPPABLE",
    "STOPPING",
    "UNSERVED",
    "Status",
]


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
    START_PENDING = "START PENDING"
    START_IN_PROGRESS = "START IN_PROGRESS"
    STOP_PENDING = "STOP PENDING"
    STOP_IN_PROGRESS = "STOP IN_PROGRESS"
    INACTIVE = "INACTIVE"
    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


#: States of resources whose job, or loading by the runtimes, waits or is in progress.
CREATING: Final = frozenset({Status.CREATE_PENDING, Status.CREATE_IN_PROGRESS})
#: States of data deletion jobs that wait or run.
DELETING_DATA: Final = frozenset({Status.PENDING, Status.IN_PROGRESS})
#: States in which a solution version or import job keeps the datasets that it uses from being deleted.
BLOCKING: Final = CREATING | {Status.CREATE_STOPPING}
#: States in which StopSolutionVersionCreation is allowed.
STOPPABLE: Final = CREATING
#: States of resources whose deletion has begun.
DELETING: Final = frozenset({Status.DELETE_PENDING, Status.DELETE_IN_PROGRESS})
#: States of recommenders that are to be served again.
STARTING: Final = frozenset({Status.START_PENDING, Status.START_IN_PROGRESS})
#: States of recommenders that runtimes are to drop.
STOPPING: Final = frozenset({Status.STOP_PENDING, Status.STOP_IN_PROGRESS})
#: States in which nothing is assigned to runtimes.
UNSERVED: Final = DELETING | STOPPING | {Status.INACTIVE}
