"""The kinds of resources that a file declares, and what their requests are called in the contracts.

Everything else follows from the names: the RPCs are `Create`, `Describe`, `List`, `Update` and `Delete` with the kind's
name, and a resource's ARN is the field of that name with `_arn`.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from google.protobuf.descriptor import Descriptor

from protos.tailorbird.control.v1 import control_plane_service_pb2

__all__ = ["METHODS", "PLACED", "Kind", "updatable_members"]

#: The RPCs of the control plane by name.
METHODS: Final = control_plane_service_pb2.DESCRIPTOR.services_by_name["ControlPlaneService"].methods_by_name
_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Kind(StrEnum):
    """A kind of resource, spelt as in the names of RPCs."""

    DATASET_GROUP = "DatasetGroup"
    SCHEMA = "Schema"
    DATASET = "Dataset"
    IMPORT_JOB = "DatasetImportJob"
    EVENT_TRACKER = "EventTracker"
    FILTER = "Filter"
    SOLUTION = "Solution"
    SOLUTION_VERSION = "SolutionVersion"
    CAMPAIGN = "Campaign"
    RECOMMENDER = "Recommender"

    @property
    def snake(self) -> str:
        """The kind in field names, e.g. `dataset_group`."""
        return _WORD.sub("_", self.value).lower()

    @property
    def arn_field(self) -> str:
        """The field that holds the ARN, e.g. `dataset_group_arn`."""
        return f"{self.snake}_arn"

    @property
    def in_arn(self) -> str:
        """The kind in ARNs, e.g. `dataset-group`."""
        return self.snake.replace("_", "-")

    @property
    def words(self) -> str:
        """The kind for people, e.g. `dataset group`."""
        return self.snake.replace("_", " ")

    @property
    def create_request(self) -> Descriptor:
        """The request that creates a resource."""
        return METHODS[f"Create{self.value}"].input_type

    @property
    def placed(self) -> frozenset[str]:
        """Fields of the request that creates a resource, and that follow from the resource's place in the file."""
        return PLACED[self]

    @property
    def is_updatable(self) -> bool:
        """Whether the API updates such resources."""
        return f"Update{self.value}" in METHODS

    @property
    def is_taggable(self) -> bool:
        """Whether such resources have tags."""
        return "tags" in self.create_request.fields_by_name


#: Fields that follow from a resource's place in the file, by kind: its name, and the ARNs of what it belongs to.
PLACED: Final = {
    Kind.DATASET_GROUP: frozenset({"name"}),
    Kind.SCHEMA: frozenset({"name", "schema"}),
    Kind.DATASET: frozenset({"schema_arn", "dataset_group_arn", "dataset_type"}),
    Kind.IMPORT_JOB: frozenset({"job_name", "dataset_arn", "data_source"}),
    Kind.EVENT_TRACKER: frozenset({"dataset_group_arn"}),
    Kind.FILTER: frozenset({"name", "dataset_group_arn"}),
    Kind.SOLUTION: frozenset({"name", "dataset_group_arn"}),
    Kind.SOLUTION_VERSION: frozenset({"name", "solution_arn"}),
    Kind.CAMPAIGN: frozenset({"name", "solution_version_arn"}),
    Kind.RECOMMENDER: frozenset({"name", "dataset_group_arn"}),
}


def updatable_members(kind: Kind) -> frozenset[str]:
    """Return the members that the API updates, as paths of names, e.g. `solutionConfig.eventsConfig`.

    A request may hold a part of a configuration under a name of its own, as UpdateSolution does: that part alone is
    updated.
    """
    if not kind.is_updatable:
        return frozenset()
    paths = set()
    for field in METHODS[f"Update{kind.value}"].input_type.fields:
        if field.name == kind.arn_field:
            continue
        if field.name == f"{kind.snake}_update_config" and field.message_type is not None:
            paths |= {f"{kind.snake}Config.{part.json_name}" for part in field.message_type.fields}
        else:
            paths.add(field.json_name)
    return frozenset(paths)
