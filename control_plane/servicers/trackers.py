"""TrackerService: what event services call."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio

from common.errors import invalid
from control_plane.domain.fields import required
from control_plane.metadata_store import MetadataStore
from control_plane.resources.trackers import EventTrackers
from control_plane.servicers.jobs import wait_seconds
from control_plane.tracking.watch import TrackerSubscriber, TrackerWatch
from protos.tailorbird.internal.v1 import trackers_pb2, trackers_pb2_grpc

__all__ = ["TRACKER_SERVICE", "TrackerServicer"]

TRACKER_SERVICE = trackers_pb2.DESCRIPTOR.services_by_name["TrackerService"]
_MAX_SERVICE_ID = 256
_MAX_LOCATIONS = 1000


class TrackerServicer(trackers_pb2_grpc.TrackerServiceServicer):
    """Turns calls of events services into calls of the resources and of the tracker watch.

    Args:
        metadata_store: Keeps the trackers of all accounts.
        trackers: Resolves single tracking ids.
        tracker_watch: Returns the set of all trackers when it changes.
    """

    def __init__(self, metadata_store: MetadataStore, trackers: EventTrackers, tracker_watch: TrackerWatch) -> None:
        self._metadata_store = metadata_store
        self._trackers = trackers
        self._tracker_watch = tracker_watch

    async def WatchEventTrackers(
        self, request: trackers_pb2.WatchEventTrackersRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> trackers_pb2.WatchEventTrackersResponse:
        """Return the set of trackers, as soon as it is not the known one; no set when the wait is over before that."""
        service_id = required("service_id", request.service_id)
        if len(service_id) > _MAX_SERVICE_ID:
            raise invalid("service_id", got=service_id, want=f"at most {_MAX_SERVICE_ID} characters")
        subscriber = TrackerSubscriber(
            service_id,
            request.known_revision if request.HasField("known_revision") else None,
            request.in_use_revision if request.HasField("in_use_revision") else None,
        )
        tracker_set = await self._tracker_watch.watch(subscriber, wait_seconds=wait_seconds(request.wait_seconds))
        return trackers_pb2.WatchEventTrackersResponse(
            revision=subscriber.revision if tracker_set is None else tracker_set.revision,
            lease_seconds=self._tracker_watch.lease_seconds,
            trackers=[
                trackers_pb2.TrackedGroup(
                    tracking_id=group.tracking_id,
                    dataset_group_arn=group.dataset_group_arn,
                    interactions=group.interactions,
                )
                for group in (() if tracker_set is None else tracker_set.groups)
            ],
            datasets=[
                trackers_pb2.TrackedDataset(
                    key=dataset.key, dataset_group_arn=dataset.dataset_group_arn, table=dataset.table
                )
                for dataset in (() if tracker_set is None else tracker_set.datasets)
            ],
            attributions=() if tracker_set is None else tracker_set.attributions,
        )

    def FindTables(
        self, request: trackers_pb2.FindTablesRequest, context: grpc.ServicerContext
    ) -> trackers_pb2.FindTablesResponse:
        """Return which of the tables in the request belong to ACTIVE datasets, if asked for with their schemas."""
        if len(request.locations) > _MAX_LOCATIONS:
            raise invalid("locations", got=f"{len(request.locations)} locations", want=f"at most {_MAX_LOCATIONS}")
        active_tables = self._metadata_store.view(
            lambda unit: self._trackers.active_tables(unit, request.locations, with_schemas=request.with_schemas)
        )
        if request.rows_wait:
            self._metadata_store.transact(lambda unit: self._trackers.note_rows(unit, request.locations))
        locations = [item for item in request.locations if item in active_tables]
        schemas = [active_tables[item] for item in locations] if request.with_schemas else []
        return trackers_pb2.FindTablesResponse(locations=locations, schemas=schemas)

    def ResolveEventTracker(
        self, request: trackers_pb2.ResolveEventTrackerRequest, context: grpc.ServicerContext
    ) -> trackers_pb2.ResolveEventTrackerResponse:
        """Return the dataset group and the table that the events of a tracking id belong to."""
        tracking_id = required("tracking_id", request.tracking_id)
        group = self._metadata_store.view(lambda unit: self._trackers.resolve(unit, tracking_id))
        return trackers_pb2.ResolveEventTrackerResponse(
            event_tracker_arn=group.event_tracker_arn,
            dataset_group_arn=group.dataset_group_arn,
            interactions=group.interactions,
        )
