"""Looks trackers and tables up at control_plane."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import grpc

from common.errors import Unavailable
from common.rpc import from_rpc_error
from events_service.log import LogTable
from events_service.trackers import AttributedMetric, Attribution, KnownRevisions, Tracker, TrackerUpdate, read_schema
from protos.tailorbird.internal.v1 import trackers_pb2
from protos.tailorbird.internal.v1.jobs_pb2 import DatasetTable, TrackedAttribution
from protos.tailorbird.internal.v1.trackers_pb2_grpc import TrackerServiceStub

__all__ = ["RemoteTrackerFetch", "RemoteTrackers", "service_id"]

_MAX_LOCATIONS = 1000


def service_id(listen: str) -> str:
    """Return the name of the events service that listens on an address of this host.

    It is the same after a restart, so that deletions need not wait for the process before it.
    """
    return f"{socket.gethostname()}:{listen}"[:256]


class RemoteTrackers:
    """A `TrackerSource` that calls `TrackerService`.

    Args:
        channel: Connects to control_plane.
        service_id: Name of this events service, the same for all processes that open its log one after another.
        patience_seconds: How long one call may take beyond what it waits for, retries included; less than callers of
            PutEvents wait.
    """

    def __init__(self, channel: grpc.Channel, *, service_id: str, patience_seconds: float = 3.0) -> None:
        self._stub = TrackerServiceStub(channel)
        self._service_id = service_id
        self._patience_seconds = patience_seconds

    def active(
        self, locations: Sequence[str], *, rows_wait: bool = False, with_schemas: bool = False
    ) -> dict[str, str]:
        """Return the locations whose datasets are ACTIVE, with their schemas; see `Tables`."""
        active: dict[str, str] = {}
        for start in range(0, len(locations), _MAX_LOCATIONS):
            part = locations[start : start + _MAX_LOCATIONS]
            request = trackers_pb2.FindTablesRequest(locations=part, rows_wait=rows_wait, with_schemas=with_schemas)
            try:
                response = self._stub.FindTables(request, timeout=self._patience_seconds)
            except grpc.RpcError as error:
                raise _unavailable(error) from error
            schemas = response.schemas or [""] * len(response.locations)  # nor does an earlier control plane tell any
            active.update(zip(response.locations, schemas, strict=True))
        return active

    def fetch(self, revisions: KnownRevisions, *, wait_seconds: float) -> RemoteTrackerFetch:
        """Send a request for the set of trackers; see `TrackerSource`."""
        request = trackers_pb2.WatchEventTrackersRequest(
            service_id=self._service_id,
            known_revision=revisions.revision,
            in_use_revision=revisions.in_use_revision,
            wait_seconds=wait_seconds,
        )
        call = self._stub.WatchEventTrackers.future(request, timeout=wait_seconds + self._patience_seconds)
        return RemoteTrackerFetch(call, revisions.revision)


class RemoteTrackerFetch:
    """A `TrackerFetch` that is a gRPC call.

    Args:
        call: The running call.
        known_revision: The newest revision that the caller has; None for none.
    """

    def __init__(
        self, call: grpc.CallFuture[trackers_pb2.WatchEventTrackersResponse], known_revision: int | None
    ) -> None:
        self._call = call
        self._known_revision = known_revision

    def result(self) -> TrackerUpdate | None:
        """Wait for the response; see `TrackerFetch`."""
        try:
            response = self._call.result()
        except grpc.FutureCancelledError:
            return None
        except grpc.RpcError as error:
            raise _unavailable(error) from error
        trackers = {
            group.tracking_id: _tracker(
                group.dataset_group_arn, group.interactions if group.HasField("interactions") else None
            )
            for group in response.trackers
        }
        for dataset in response.datasets:
            trackers[dataset.key] = _tracker(dataset.dataset_group_arn, dataset.table)
        changed = response.revision != self._known_revision
        attributions = {item.dataset_group_arn: _attribution(item) for item in response.attributions}
        return TrackerUpdate(response.revision, trackers if changed else None, response.lease_seconds, attributions)

    def cancel(self) -> None:
        """Cancel the call."""
        self._call.cancel()  # type: ignore[no-untyped-call]  # the stubs give it no types


def _unavailable(error: grpc.RpcError) -> Unavailable:
    translated = from_rpc_error(error)
    if isinstance(translated, Unavailable):
        return translated
    # Not the caller's mistake: it is this service whose call was rejected.
    return Unavailable(f"control_plane: tells no trackers: {translated.message}")


def _tracker(dataset_group_arn: str, dataset: DatasetTable | None) -> Tracker:
    if dataset is None:
        return Tracker(dataset_group_arn)
    table = _table(dataset_group_arn, dataset)
    return Tracker(dataset_group_arn, table, read_schema(table.schema))


def _attribution(message: TrackedAttribution) -> Attribution:
    group_arn = message.dataset_group_arn
    return Attribution(
        arn=message.metric_attribution_arn,
        created_millis=message.created_millis,
        dataset_group_arn=group_arn,
        metrics=tuple(AttributedMetric(item.metric_name, item.event_type, item.expression) for item in message.metrics),
        output_path=message.output_path,
        serving_arns=tuple(message.serving_arns),
        items=_table(group_arn, message.items) if message.HasField("items") else None,
    )


def _table(dataset_group_arn: str, dataset: DatasetTable) -> LogTable:
    return LogTable(dataset.location, dataset_group_arn, dataset.schema, dataset.dataset_type)
