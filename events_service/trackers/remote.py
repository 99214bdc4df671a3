"""Asks control_plane."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import grpc

from common.errors import Unavailable
from common.rpc import from_rpc_error
from events_service.log import LogTable
from events_service.trackers import KnownTrackers, Tracker, TrackerAnswer, read_schema
from protos.tailorbird.internal.v1 import trackers_pb2
from protos.tailorbird.internal.v1.jobs_pb2 import DatasetTable
from protos.tailorbird.internal.v1.trackers_pb2_grpc import TrackerServiceStub

__all__ = ["RemoteQuestion", "RemoteTrackers", "service_id"]

_MAX_LOCATIONS = 1000


def service_id(listen: str) -> str:
    """Return the name of the events service that listens there on this host.

    It is the same after a restart, so that deletions need not wait for the process that was there before.
    """
    return f"{socket.gethostname()}:{listen}"[:256]


class RemoteTrackers:
    """Asks by calls to `TrackerService`.

    Args:
        channel: To control_plane.
        service_id: Name of this events service, the same for all processes that open its log one after another.
        patience_seconds: How long one call may take beyond what it waits for, retries included; less than callers of
            PutEvents wait.
    """

    def __init__(self, channel: grpc.Channel, *, service_id: str, patience_seconds: float = 3.0) -> None:
        self._stub = TrackerServiceStub(channel)
        self._service_id = service_id
        self._patience_seconds = patience_seconds

    def active(self, locations: Sequence[str]) -> frozenset[str]:
        """Return those of some tables that are of ACTIVE datasets; see `Tables`."""
        found: set[str] = set()
        for start in range(0, len(locations), _MAX_LOCATIONS):
            request = trackers_pb2.FindTablesRequest(locations=locations[start : start + _MAX_LOCATIONS])
            try:
                found.update(self._stub.FindTables(request, timeout=self._patience_seconds).locations)
            except grpc.RpcError as error:
                raise _unavailable(error) from error
        return frozenset(found)

    def ask(self, known: KnownTrackers, *, wait_seconds: float) -> RemoteQuestion:
        """Begin to ask for the set of trackers; see `TrackerSource`."""
        request = trackers_pb2.WatchEventTrackersRequest(
            service_id=self._service_id,
            known_revision=known.revision,
            in_use_revision=known.in_use_revision,
            wait_seconds=wait_seconds,
        )
        call = self._stub.WatchEventTrackers.future(request, timeout=wait_seconds + self._patience_seconds)
        return RemoteQuestion(call, known)


class RemoteQuestion:
    """A `Question` on the wire.

    Args:
        call: On its way.
        known: What the asker knows.
    """

    def __init__(self, call: grpc.CallFuture[trackers_pb2.WatchEventTrackersResponse], known: KnownTrackers) -> None:
        self._call = call
        self._known = known

    def answer(self) -> TrackerAnswer | None:
        """Wait for the answer; see `Question`."""
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
        changed = response.revision != self._known.revision
        return TrackerAnswer(response.revision, trackers if changed else None, response.lease_seconds)

    def cancel(self) -> None:
        """Let go of the call."""
        self._call.cancel()  # type: ignore[no-untyped-call]  # the stubs give it no types


def _unavailable(error: grpc.RpcError) -> Unavailable:
    known = from_rpc_error(error)
    if isinstance(known, Unavailable):
        return known
    # Whoever sent the events did nothing wrong: it is we who are refused.
    return Unavailable(f"control_plane: tells no trackers: {known.message}")


def _tracker(dataset_group_arn: str, interactions: DatasetTable | None) -> Tracker:
    if interactions is None:
        return Tracker(dataset_group_arn)
    table = LogTable(interactions.location, dataset_group_arn, interactions.schema)
    return Tracker(dataset_group_arn, table, read_schema(table.schema))
