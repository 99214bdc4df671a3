"""What exists: a dataset group with everything that a file can declare in it, found by names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cli.declaration.api import ControlPlaneApi
from cli.declaration.kinds import Kind
from protos.tailorbird.control.v1 import common_pb2

__all__ = ["DELETING", "FAILED", "IN_PROGRESS", "Existing", "ExistingGroup", "Reader", "last_part", "status_name"]

IN_PROGRESS: Final = frozenset(
    {
        common_pb2.RESOURCE_STATUS_CREATE_PENDING,
        common_pb2.RESOURCE_STATUS_CREATE_IN_PROGRESS,
        common_pb2.RESOURCE_STATUS_CREATE_STOPPING,
        common_pb2.RESOURCE_STATUS_START_PENDING,
        common_pb2.RESOURCE_STATUS_START_IN_PROGRESS,
        common_pb2.RESOURCE_STATUS_STOP_PENDING,
        common_pb2.RESOURCE_STATUS_STOP_IN_PROGRESS,
        common_pb2.RESOURCE_STATUS_UPDATE_PENDING,
        common_pb2.RESOURCE_STATUS_UPDATE_IN_PROGRESS,
    }
)
DELETING: Final = frozenset({common_pb2.RESOURCE_STATUS_DELETE_PENDING, common_pb2.RESOURCE_STATUS_DELETE_IN_PROGRESS})
FAILED: Final = frozenset({common_pb2.RESOURCE_STATUS_CREATE_FAILED, common_pb2.RESOURCE_STATUS_CREATE_STOPPED})


def status_name(status: int) -> str:
    """Return a status as the API spells it."""
    name = common_pb2.ResourceStatus.Name(status).removeprefix("RESOURCE_STATUS_")  # type: ignore[arg-type]  # any number
    first, _, rest = name.partition("_")
    return f"{first} {rest}" if rest else first


def last_part(arn: str) -> str:
    """Return what follows the last `/` of an ARN: the name of a schema, for instance."""
    return arn.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Existing:
    """A resource as it is described."""

    kind: Kind
    name: str
    arn: str
    described: Any

    @property
    def status(self) -> int:
        """Its status; that of a schema is ACTIVE."""
        if "status" not in self.described.DESCRIPTOR.fields_by_name:
            return int(common_pb2.RESOURCE_STATUS_ACTIVE)
        return int(self.described.status)

    @property
    def failure_reason(self) -> str:
        """Why it failed, empty if it did not or if its kind has no reasons."""
        return str(getattr(self.described, "failure_reason", ""))

    @property
    def running_update(self) -> Any:
        """Its update that is in progress, None without one."""
        update = getattr(self.described, f"latest_{self.kind.snake}_update", None)
        return update if update is not None and update.status in IN_PROGRESS else None


@dataclass(slots=True)
class ExistingGroup:
    """A dataset group and what belongs to it.

    Attributes:
        group: The group itself.
        datasets: By type in capitals.
        imports: Summaries of the import jobs of each dataset, oldest first.
        trackers: By name, as are the others.
        campaigns: By name of the solution.
        versions: Summaries of the versions of each solution.
    """

    group: Existing
    datasets: dict[str, Existing] = field(default_factory=dict)
    imports: dict[str, list[Any]] = field(default_factory=dict)
    trackers: dict[str, Existing] = field(default_factory=dict)
    filters: dict[str, Existing] = field(default_factory=dict)
    solutions: dict[str, Existing] = field(default_factory=dict)
    versions: dict[str, list[Any]] = field(default_factory=dict)
    campaigns: dict[str, dict[str, Existing]] = field(default_factory=dict)
    recommenders: dict[str, Existing] = field(default_factory=dict)


class Reader:
    """Reads what exists.

    Args:
        api: The control plane.
    """

    def __init__(self, api: ControlPlaneApi) -> None:
        self.api = api
        self._prefix = api.arn_prefix()

    def find(self, kind: Kind, name: str) -> Existing | None:
        """Return the resource with a name, whatever group it belongs to; None if there is none.

        Args:
            kind: A kind whose ARNs end in its names: all but event trackers and solution versions.
            name: The name.
        """
        if self._prefix is None:
            return None
        arn = f"{self._prefix}{kind.in_arn}/{name}"
        described = self.api.describe(kind, arn)
        return None if described is None else Existing(kind, name, arn, described)

    def group_names(self) -> list[str]:
        """Return the names of all groups, in order."""
        return sorted(str(item.name) for item in self.api.summaries(Kind.DATASET_GROUP))

    def schema_names(self) -> list[str]:
        """Return the names of all schemas, in order."""
        return sorted(str(item.name) for item in self.api.summaries(Kind.SCHEMA))

    def group(self, name: str) -> ExistingGroup | None:
        """Return a group with everything that belongs to it, None if there is none of that name."""
        group = self.find(Kind.DATASET_GROUP, name)
        if group is None:
            return None
        parent = {"dataset_group_arn": group.arn}
        read = ExistingGroup(group)
        read.datasets = {last_part(item.arn): item for item in self._all(Kind.DATASET, **parent)}
        # What belongs to a dataset or solution that is being deleted goes with it.
        for kind, dataset in _remaining(read.datasets).items():
            jobs = self.api.summaries(Kind.IMPORT_JOB, dataset_arn=dataset.arn)
            read.imports[kind] = sorted(jobs, key=_age)
        read.trackers = _by_name(self._all(Kind.EVENT_TRACKER, **parent))
        read.filters = _by_name(self._all(Kind.FILTER, **parent))
        read.solutions = _by_name(self._all(Kind.SOLUTION, **parent))
        for solution_name, solution in _remaining(read.solutions).items():
            read.versions[solution_name] = list(self.api.summaries(Kind.SOLUTION_VERSION, solution_arn=solution.arn))
            read.campaigns[solution_name] = _by_name(self._all(Kind.CAMPAIGN, solution_arn=solution.arn))
        read.recommenders = _by_name(self._all(Kind.RECOMMENDER, **parent))
        return read

    def _all(self, kind: Kind, **parent: str) -> Iterable[Existing]:
        for summary in self.api.summaries(kind, **parent):
            arn = str(getattr(summary, kind.arn_field))
            # One that was deleted meanwhile does not exist.
            if (described := self.api.describe(kind, arn)) is not None:
                yield Existing(kind, str(summary.name), arn, described)


def _by_name(resources: Iterable[Existing]) -> dict[str, Existing]:
    return {item.name: item for item in resources}


def _remaining(resources: Mapping[str, Existing]) -> dict[str, Existing]:
    return {name: item for name, item in resources.items() if item.status not in DELETING}


def _age(job: Any) -> tuple[int, int, str]:
    created = job.creation_date_time
    return created.seconds, created.nanos, str(job.job_name)
