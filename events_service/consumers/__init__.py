"""What is done with the log's records after they were acknowledged: the interface of its consumers.

Each consumer has a thread and cursors of its own, so that one that is stuck delays neither the others nor the removal
of old records; one that does not get on is logged as an ERROR.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from events_service.log import TableLag

__all__ = ["Consumer"]


class Consumer(Protocol):
    """Consumes the records of tables, table by table.

    Attributes:
        name: Of its cursors in the log; never changed.
    """

    name: str

    def is_due(self, lag: TableLag) -> bool:
        """Return whether a table's pending records should be consumed now."""
        ...

    def consume(self, lag: TableLag, *, stopping: Callable[[], bool]) -> int:
        """Consume a table's records up to `lag.last_offset`, and move the cursor.

        Args:
            lag: Of a table that is due.
            stopping: Called between steps; true ends the call early.

        Returns:
            How many records were consumed.

        Raises:
            Exception: What failed; the records stay, and are offered again after a pause.
        """
        ...
