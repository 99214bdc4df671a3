"""How the public operations are written: a class of methods for each kind of resource, message in and message out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from common.auth import current_caller
from control_plane.metadata_store import MetadataStore, Unit
from control_plane.resources.base import PageRequest
from control_plane.resources.batch_jobs import BatchInferenceJobs, BatchSegmentJobs
from control_plane.resources.campaigns import Campaigns
from control_plane.resources.data_jobs import DeletionJobs, ExportJobs
from control_plane.resources.datasets import DatasetGroups, Datasets, Schemas
from control_plane.resources.filters import Filters
from control_plane.resources.imports import ImportJobs
from control_plane.resources.metric_attributions import MetricAttributions
from control_plane.resources.recommenders import Recommenders
from control_plane.resources.solutions import Solutions
from control_plane.resources.tags import Tags
from control_plane.resources.trackers import EventTrackers
from control_plane.resources.versions import SolutionVersions
from control_plane.servicers.control.messages import check_message
from protos.tailorbird.control.v1.tag_pb2 import Tag

__all__ = ["AccountMethods", "Context", "Methods", "Resources", "optional", "page_request", "tags_of"]

Result = TypeVar("Result")
Context = grpc.ServicerContext


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources that the operations work on, one attribute for each kind."""

    dataset_groups: DatasetGroups
    schemas: Schemas
    datasets: Datasets
    imports: ImportJobs
    exports: ExportJobs
    deletions: DeletionJobs
    filters: Filters
    metric_attributions: MetricAttributions
    solutions: Solutions
    versions: SolutionVersions
    campaigns: Campaigns
    recommenders: Recommenders
    batch_inference: BatchInferenceJobs
    batch_segments: BatchSegmentJobs
    trackers: EventTrackers
    tags: Tags


class AccountMethods:
    """Base of all servicers whose methods work on the resources of the caller's account.

    Args:
        metadata_store: The database of the resources.
    """

    def __init__(self, metadata_store: MetadataStore) -> None:
        self._metadata_store = metadata_store

    def _view(self, request: Message, work: Callable[[Unit], Result]) -> Result:
        """Check a request, and return what `work` reads from the caller's resources."""
        check_message(request)
        return self._metadata_store.view(work, account=current_caller().account)

    def _transact(self, request: Message, work: Callable[[Unit], Result]) -> Result:
        """Check a request, and return the result of changes of the caller's resources, made together or not at all."""
        check_message(request)
        return self._metadata_store.transact(work, account=current_caller().account)


class Methods(AccountMethods):
    """Base of the classes of methods.

    Args:
        metadata_store: The database of the resources.
        resources: What the operations work on.
    """

    def __init__(self, metadata_store: MetadataStore, resources: Resources) -> None:
        super().__init__(metadata_store)
        self._resources = resources


def optional(message: Any, field: str) -> Any:
    """Return a field of a message; None when it is not set."""
    return getattr(message, field) if message.HasField(field) else None


def page_request(request: Any) -> PageRequest:
    """Return which page a list operation has to return."""
    return PageRequest(optional(request, "next_token"), optional(request, "max_results"))


def tags_of(request: Any) -> list[tuple[str, str]]:
    """Return the tags in a request as pairs of key and value."""
    tags: Iterable[Tag] = request.tags
    return [(tag.tag_key, tag.tag_value) for tag in tags]
