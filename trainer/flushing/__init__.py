"""Moving acknowledged records into their table before it is read; `remote` asks the events service for it.

`calls` is how trainers call the events service, whatever for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from common.positions import Lineage
from trainer.worker import JobContext

__all__ = ["Flushed", "Flusher"]


@dataclass(frozen=True, slots=True)
class Flushed:
    """What is known of the log after a flush.

    Attributes:
        log_offset: Its last offset before the flush; 0 of an empty log.
        lineage: Its epochs; None where the events service is of a version that does not tell them.
    """

    log_offset: int
    lineage: Lineage | None = None


class Flusher(Protocol):
    """Moves acknowledged records.

    Its client is a module apart, because training processes load this one and hold no channel.
    """

    def flush(self, location: str, context: JobContext) -> Flushed:
        """Wait until a table has all records that were acknowledged before.

        Args:
            location: Folder of the table in the store.
            context: Cancels the wait when the job must end.

        Raises:
            Unavailable: The events service cannot be reached, or cannot write to the table.
            JobCancelled: The job must end.
        """
        ...
