"""What this host was last told to serve, and what of it was served: kept on its disk for starts without control plane.

All workers of a host share one file. It is replaced whole, under a lock, so that a reader finds one state or the other,
and a file that cannot be read, or was written by another version, counts as none: the control plane tells it all again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format

from common.logs import get_logger
from common.private_files import private_folder, replace_private
from common.process.file_lock import hold_writer_lock
from protos.tailorbird.internal.v1.serving_pb2 import ServingAssignment, ServingDatasetGroup
from runtime_service.serving.goals import identity, to_assignment

__all__ = ["AssignmentFile", "KeptAssignments"]

_FORMAT: Final = 2
#: What is kept for each campaign of what was served: the newest and the one before.
_KEPT_SERVED: Final = 2
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeptAssignments:
    """What the file says.

    Attributes:
        assignments: What was last assigned.
        served: By campaign what some worker of this host had loaded, newest first.
        dataset_groups: What filters and metadata are read from, of the campaigns that were last assigned.
    """

    assignments: tuple[ServingAssignment, ...] = ()
    served: Mapping[str, tuple[ServingAssignment, ...]] = field(default_factory=dict)
    dataset_groups: tuple[ServingDatasetGroup, ...] = ()


class AssignmentFile:
    """The file; its methods read and write the disk, so they belong into a thread.

    Args:
        path: Of the file, which its owner alone may read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> KeptAssignments:
        """Return what was kept; nothing where there is no file, or none that can be read."""
        try:
            document = json.loads(self._path.read_bytes())
            if not isinstance(document, dict) or document.get("format_version") != _FORMAT:
                raise ValueError(f"`format_version`: got another one, want {_FORMAT}")
            served: dict[str, tuple[ServingAssignment, ...]] = {}
            for message in map(_parse, document["served"]):
                served[message.serving_arn] = (*served.get(message.serving_arn, ()), message)
            groups = tuple(map(_parse_group, document.get("dataset_groups", ())))
            return KeptAssignments(tuple(map(_parse, document["assignments"])), served, groups)
        except FileNotFoundError:
            return KeptAssignments()
        except (
            OSError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            RecursionError,
            json_format.Error,
        ) as error:
            _log.warning("kept_assignments_unreadable", file=str(self._path), cause=str(error))
            return KeptAssignments()

    def keep(
        self,
        assignments: Sequence[ServingAssignment],
        *,
        served: Iterable[ServingAssignment],
        dataset_groups: Sequence[ServingDatasetGroup] = (),
    ) -> set[str]:
        """Replace what is kept, and return the locations of the artifacts that it names.

        Args:
            assignments: Everything that is assigned now; what was served of other campaigns is forgotten.
            served: What is served now, of these campaigns; what was served before each stays behind it.
            dataset_groups: Those of the assignments.

        Raises:
            OSError: The file cannot be written; the one before is still there.
        """
        private_folder(self._path.parent)
        with hold_writer_lock(self._path):
            previous = self.read()
            kept = {item.serving_arn: previous.served.get(item.serving_arn, ()) for item in assignments}
            for now in served:
                if now.serving_arn in kept:
                    before = [one for one in kept[now.serving_arn] if identity(one) != identity(now)]
                    kept[now.serving_arn] = (now, *before)[:_KEPT_SERVED]
            if KeptAssignments(tuple(assignments), kept, tuple(dataset_groups)) != previous:
                self._write(assignments, [one for each in kept.values() for one in each], dataset_groups)
        return {item.artifact_location for item in (*assignments, *(one for each in kept.values() for one in each))}

    def _write(
        self,
        assignments: Iterable[ServingAssignment],
        served: Iterable[ServingAssignment],
        dataset_groups: Iterable[ServingDatasetGroup],
    ) -> None:
        lists = {
            "assignments": list(map(_plain, assignments)),
            "served": list(map(_plain, served)),
            "dataset_groups": list(map(_plain, dataset_groups)),
        }
        text = json.dumps({"format_version": _FORMAT, **lists}, indent=1)
        replace_private(self._path, text)


def _plain(message: ServingAssignment | ServingDatasetGroup) -> dict[str, Any]:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _parse(item: Any) -> ServingAssignment:
    # A newer version may have written more than this one knows.
    message = json_format.ParseDict(item, ServingAssignment(), ignore_unknown_fields=True)
    if not (message.serving_arn and message.deployment_id and message.artifact_location):
        raise ValueError("an assignment: got one without campaign, deployment or artifact")
    to_assignment(message)  # what it says must be understood when it is needed
    return message


def _parse_group(item: Any) -> ServingDatasetGroup:
    message = json_format.ParseDict(item, ServingDatasetGroup(), ignore_unknown_fields=True)
    if not message.dataset_group_arn:
        raise ValueError("a dataset group: got one without an ARN")
    return message
