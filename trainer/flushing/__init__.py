"""Moving acknowledged records into their table before it is read; `remote` asks the events service for it.

`calls` is how trainers call the events service, whatever for.
"""

from __future__ import annotations

from typing import Protocol

from trainer.worker import JobContext

__all__ = ["Flusher"]


class Flusher(Protocol):
    """Moves acknowledged records.

    Its client is a module apart, because training processes load this one and hold no channel.
    """

    def flush(self, location: str, context: JobContext) -> int:
        """Wait until a table has all records that were acknowledged before; return the log's last offset before that.

        Args:
            location: Folder of the table in the store.
            context: Cancels the wait when the job must end.

        Raises:
            Unavailable: The events service cannot be reached, or cannot write to the table.
            JobCancelled: The job must end.
        """
        ...
