"""Which commits of a table change its rows: those of compactions and clean-ups have other files, and the same rows."""

from __future__ import annotations

import json

from common.errors import ResourceNotFound
from common.storage import Store
from common.tables import Table

__all__ = ["rows_changed_since"]


def rows_changed_since(store: Store, location: str, version: int) -> bool:
    """Return whether rows were added or removed after a version of a table.

    Args:
        store: Holds the table.
        location: Of the table.
        version: An earlier one, or the latest.

    Raises:
        ResourceNotFound: Nothing was ever written.
        Unavailable: The store cannot be reached.
    """
    for number in range(version + 1, Table(store, location).version() + 1):
        try:
            commit = store.get(f"{location}/_delta_log/{number:020}.json")
        except ResourceNotFound:
            return True  # Old commits are removed, so what they did is not known.
        actions = [json.loads(line) for line in commit.splitlines()]
        files = [action[kind] for action in actions for kind in ("add", "remove") if kind in action]
        # By the protocol of Delta Lake, a file changes rows unless the commit says that it does not.
        if any(file.get("dataChange", True) for file in files):
            return True
    return False
