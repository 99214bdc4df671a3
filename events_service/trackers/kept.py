"""The set of trackers on disk, for an events service that is started while the control plane is away.

The file is replaced atomically, so that a reader finds one set or the other; its time of modification is when the
control plane last confirmed the set. One that cannot be read, or was written by another version, counts as none.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from common.logs import get_logger
from common.private_files import replace_private
from events_service.log import LogTable
from events_service.trackers import Tracker, read_schema

__all__ = ["KeptTrackers", "TrackerFile"]

_FORMAT: Final = 1
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeptTrackers:
    """The content of the file.

    Attributes:
        revision: The set's revision at the control plane.
        trackers: By tracking id.
        age_seconds: Time since the control plane last confirmed the set.
    """

    revision: int
    trackers: Mapping[str, Tracker]
    age_seconds: float


class TrackerFile:
    """The file; one process owns its folder.

    Args:
        path: The file's path; its folder has to exist when `keep` is called.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> KeptTrackers | None:
        """Return what was kept; None when there is no file, or one that cannot be read."""
        try:
            age = time.time() - self._path.stat().st_mtime
            document = json.loads(self._path.read_bytes())
            if document["format_version"] != _FORMAT:
                raise ValueError(f"`format_version`: got {document['format_version']!r}, want {_FORMAT}")
            trackers = {tracking_id: _tracker(**item) for tracking_id, item in document["trackers"].items()}
            return KeptTrackers(int(document["revision"]), trackers, max(age, 0.0))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            _log.warning("kept_trackers_unreadable", file=str(self._path), cause=type(error).__name__)
            return None

    def keep(self, revision: int, trackers: Mapping[str, Tracker]) -> None:
        """Replace the file; where that is impossible, remove it: an older set must not come back."""
        text = json.dumps(
            {
                "format_version": _FORMAT,
                "revision": revision,
                "trackers": {key: _to_json(trackers[key]) for key in trackers},
            }
        )
        try:
            replace_private(self._path, text)
        except OSError as error:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            _log.warning("trackers_not_kept", file=str(self._path), cause=str(error))

    def confirm(self) -> None:
        """Record that the control plane has confirmed the set now; a failure only makes the set look older."""
        with suppress(OSError):
            os.utime(self._path)


def _to_json(tracker: Tracker) -> dict[str, Any]:
    table = tracker.table
    document = {"dataset_group_arn": tracker.dataset_group_arn}
    return (
        document
        if table is None
        else {
            **document,
            "location": table.location,
            "schema": table.schema,
            "dataset_type": table.dataset_type,
        }
    )


def _tracker(
    dataset_group_arn: str, location: str | None = None, schema: str | None = None, dataset_type: str = "INTERACTIONS"
) -> Tracker:
    if location is None or schema is None:
        return Tracker(dataset_group_arn)
    table = LogTable(location, dataset_group_arn, schema, dataset_type)
    return Tracker(dataset_group_arn, table, read_schema(schema))
