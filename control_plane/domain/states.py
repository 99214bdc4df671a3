"""The states of resources, spelt as Personalize spells them.

Resources without long work (dataset groups, schemas, datasets, solutions, event trackers) are complete when their
create call has committed, so they are stored ACTIVE at once and the first look at them finds them ACTIVE. Import jobs,
solution versions and campaigns go through the whole chain.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["BLOCKING", "CREATING", "DELETING", "STOPPABLE", "Status"]


class Status(StrEnum):
    """A state, as callers read it."""

    CREATE_PENDING = "CREATE PENDING"
    CREATE_IN_PROGRESS = "CREATE IN_PROGRESS"
    ACTIVE = "ACTIVE"
    CREATE_FAILED = "CREATE FAILED"
    CREATE_STOPPING = "CREATE STOPPING"
    CREATE_STOPPED = "CREATE STOPPED"
    DELETE_PENDING = "DELETE PENDING"
    DELETE_IN_PROGRESS = "DELETE IN_PROGRESS"


#: Work for the resource waits or runs.
CREATING: Final = frozenset({Status.CREATE_PENDING, Status.CREATE_IN_PROGRESS})
#: States in which a solution version or import job keeps what it reads from being deleted.
BLOCKING: Final = CREATING | {Status.CREATE_STOPPING}
#: States in which StopSolutionVersionCreation is allowed.
STOPPABLE: Final = CREATING
#: The resource is on its way out.
DELETING: Final = frozenset({Status.DELETE_PENDING, Status.DELETE_IN_PROGRESS})
