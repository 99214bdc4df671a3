"""The two services that a runtime calls, as real gRPC servers with state in memory: assignments and an event log."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from common.errors import OffsetOutOfRange, Unavailable
from common.positions import LEGACY_EPOCH
from common.rpc import Service
from common.settings import TlsFiles
from common.testing import Keys, Serving, make_keys, serving
from protos.tailorbird.control.v1.campaign_pb2 import CampaignConfig
from protos.tailorbird.internal.v1 import (
    event_log_pb2,
    event_log_pb2_grpc,
    records_pb2,
    serving_pb2,
    serving_pb2_grpc,
)
from runtime_service.serving.deployments import Assignment
from tests.runtime_service.world import GROUP, WATERMARK

READY = serving_pb2.SERVING_PHASE_READY
FAILED = serving_pb2.SERVING_PHASE_FAILED


class Assignments(serving_pb2_grpc.ServingServiceServicer):
    """Sends assignments to runtimes and records their reports."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._revision = 1
        self._assignments: list[Assignment] = []
        self._groups: list[serving_pb2.ServingDatasetGroup] = []
        self._active: bool | None = None
        self._is_ended = self._is_held = False
        self._refusals = 0
        self.questions = 0
        self.responding = threading.Event()  # to questions for the revision
        self.responding.set()
        self.reports: dict[str, dict[str, serving_pb2.ServingState]] = {}

    def refuse(self, times: int) -> None:
        """Be unavailable for the next calls."""
        self._refusals = times

    def assign(self, *assignments: Assignment, active: bool | None = None) -> None:
        with self._changed:
            self._assignments, self._active = list(assignments), active
            self._revision += 1
            self._changed.notify_all()

    def assign_groups(self, *groups: serving_pb2.ServingDatasetGroup, held: bool = False) -> None:
        """Say what is served of dataset groups; held back, those who wait are not told before `tell`."""
        with self._changed:
            self._groups, self._is_held = list(groups), held
            self._revision += 1
            self._changed.notify_all()

    def tell(self) -> None:
        """Tell those who wait what was held back."""
        with self._changed:
            self._is_held = False
            self._changed.notify_all()

    def end(self) -> None:
        """Answer whoever waits: a server that stops waits for them."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()

    def state(self, deployment_id: str, *, runtimes: int = 1):
        """Return a deployment's state once so many runtimes have reported one and the same phase, else None."""
        reported = [states[deployment_id] for states in self.reports.values() if deployment_id in states]
        return reported[0] if len(reported) >= runtimes and len({state.phase for state in reported}) == 1 else None

    def WatchServingAssignments(self, request, context):
        if self._refusals:
            self._refusals -= 1
            raise Unavailable("this control plane is away")
        with self._changed:
            if request.HasField("known_revision"):
                self._changed.wait_for(
                    lambda: self._is_ended or not (self._is_held or self._revision == request.known_revision),
                    request.wait_seconds,
                )
            return serving_pb2.WatchServingAssignmentsResponse(
                revision=self._revision,
                assignments=[
                    serving_pb2.ServingAssignment(
                        serving_arn=item.campaign_arn,
                        deployment_id=item.deployment_id,
                        artifact_location=item.artifact_location,
                        dataset_group_arn=item.dataset_group_arn,
                        event_type=item.event_type,
                        active=self._active,
                        campaign_config=CampaignConfig(enable_metadata_with_recommendations=item.metadata),
                        event_rules=[serving_pb2.EventRule(**asdict(rule)) for rule in item.event_rules],
                    )
                    for item in self._assignments
                ],
                dataset_groups=self._groups,
            )

    def GetServingRevision(self, request, context):
        with self._changed:
            self.questions += 1
        assert self.responding.wait(60)
        with self._changed:
            return serving_pb2.GetServingRevisionResponse(revision=self._revision)

    def ReportServing(self, request, context):
        self.reports[request.runtime_id] = {state.deployment_id: state for state in request.states}
        return serving_pb2.ReportServingResponse()


class Log(event_log_pb2_grpc.EventLogServiceServicer):
    """A log in memory; its first offset follows what the artifacts contain, unless told otherwise.

    It has one epoch, that of artifacts without one, until it is restored or replaced.
    """

    def __init__(self, *, first: int = WATERMARK + 1) -> None:
        self._changed = threading.Condition()
        self._first = first
        self._events: list[records_pb2.LoggedRecord] = []
        self._removals: list[event_log_pb2.LogRemoval] = []
        self._user_removals: list[event_log_pb2.UserRemoval] = []
        self._epochs = [event_log_pb2.LogEpoch(epoch=LEGACY_EPOCH, first_offset=1)]
        self._is_ended = False
        self._refusals = 0

    def refuse(self, times: int) -> None:
        """Be unavailable for the next calls."""
        self._refusals = times

    def end(self) -> None:
        """Answer whoever waits: a server that stops waits for them."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()

    def send(
        self,
        user_id: str,
        item_id: str,
        *,
        session_id: str = "",
        event_type: str = "watch",
        millis: int = 0,
        event_value: float | None = None,
        impression: Sequence[str] = (),
        recommendation_id: str | None = None,
    ):
        with self._changed:
            offset = self._end()
            self._events.append(
                records_pb2.LoggedRecord(
                    offset=offset,
                    dataset_group_arn=GROUP,
                    event=records_pb2.EventRecord(
                        event_id=f"e-{offset}",
                        user_id=user_id,
                        session_id=session_id,
                        event_type=event_type,
                        item_id=item_id,
                        sent_at_millis=millis or offset,
                        event_value=event_value,
                        impression=impression,
                        recommendation_id=recommendation_id,
                    ),
                )
            )
            self._changed.notify_all()

    def replace(self, *user_items: tuple[str, str], epoch: int = 99) -> None:
        """Become another log, which has these events from the first offset on."""
        with self._changed:
            self._first, self._events, self._removals = 1, [], []
            self._epochs = [event_log_pb2.LogEpoch(epoch=epoch, first_offset=1)] if user_items else []
            for user_id, item_id in user_items:
                self.send(user_id, item_id)
            self._changed.notify_all()

    def restore(self, end: int, *, epoch: int = 77) -> None:
        """Become what the log was when `end` was the next offset; what comes now is of another epoch."""
        with self._changed:
            self._events = [event for event in self._events if event.offset < end]
            self._epochs.append(event_log_pb2.LogEpoch(epoch=epoch, first_offset=end))
            self._changed.notify_all()

    def put(self, entity_id: str, *, kind: str = "item", **properties: object) -> None:
        """Take an item, a user or an action."""
        with self._changed:
            content = records_pb2.EntityRecord(
                entity_id=entity_id, properties_json=json.dumps(properties) if properties else None
            )
            self._events.append(
                records_pb2.LoggedRecord(offset=self._end(), dataset_group_arn=GROUP, **{kind: content})
            )
            self._changed.notify_all()

    def act(self, user_id: str, action_id: str, event_type: str, *, session_id: str = "") -> None:
        """Take what a user did with an action."""
        with self._changed:
            offset = self._end()
            content = records_pb2.ActionInteractionRecord(
                event_id=f"e-{offset}", user_id=user_id, session_id=session_id, event_type=event_type,
                action_id=action_id, sent_at_millis=offset,
            )  # fmt: skip
            self._events.append(
                records_pb2.LoggedRecord(offset=offset, dataset_group_arn=GROUP, action_interaction=content)
            )
            self._changed.notify_all()

    def remove(self, *, up_to: int, dataset_type: str = "INTERACTIONS") -> None:
        """Remove the records up to an offset, as when their dataset is gone."""
        with self._changed:
            place = self._end()
            if dataset_type == "INTERACTIONS":
                self._events = [event for event in self._events if event.offset > up_to]
            self._removals.append(
                event_log_pb2.LogRemoval(
                    offset=place, dataset_group_arn=GROUP, dataset_type=dataset_type, up_to_offset=up_to
                )
            )
            self._changed.notify_all()

    def remove_users(self, location: str, *, up_to: int) -> None:
        """Announce a deletion of users."""
        with self._changed:
            self._user_removals.append(
                event_log_pb2.UserRemoval(
                    offset=self._end(), dataset_group_arn=GROUP, location=location, up_to_offset=up_to
                )
            )
            self._changed.notify_all()

    def _end(self) -> int:
        last = (*self._events[-1:], *self._removals[-1:], *self._user_removals[-1:])
        taken = [entry.offset for entry in last]
        return max(taken, default=self._first - 1) + 1

    def ReadRecords(self, request, context):
        if self._refusals:
            self._refusals -= 1
            raise Unavailable("this log is away")
        with self._changed:
            same_epoch = request.known_epoch == self._epochs[-1].epoch if self._epochs else request.known_epoch == 0
            if request.from_offset < self._first and same_epoch:
                raise OffsetOutOfRange(
                    f"`from_offset`: got {request.from_offset}, want at least {self._first}",
                    metadata={"earliest_offset": str(self._first)},
                )
            if request.from_offset == self._end() and same_epoch:
                self._changed.wait_for(
                    lambda: self._is_ended or self._end() != request.from_offset, request.wait_seconds
                )
            page = event_log_pb2.ReadRecordsResponse(next_offset=min(request.from_offset, self._end()))
            if request.from_offset >= self._first:
                later = [event for event in self._events if event.offset >= request.from_offset]
                page.records.extend(later[: request.max_records])
                full = len(later) > request.max_records
                page.next_offset = page.records[-1].offset + 1 if full else self._end()
                page.removals.extend(
                    item for item in self._removals if request.from_offset <= item.offset < page.next_offset
                )
                page.user_removals.extend(
                    item for item in self._user_removals if request.from_offset <= item.offset < page.next_offset
                )
            if not self._epochs or request.known_epoch != self._epochs[-1].epoch:
                page.epochs.extend(self._epochs)
            return page


@dataclass
class Backends:
    """Both services, on one server."""

    board: Assignments
    log: Log
    server: Serving
    keys: Keys = field(repr=False)


@contextmanager
def running_backends(*, keys: Keys | None = None, log: Log | None = None, tls: TlsFiles | None = None):
    board, log, keys = Assignments(), log or Log(), keys or make_keys()
    services = [
        Service(
            serving_pb2.DESCRIPTOR.services_by_name["ServingService"],
            serving_pb2_grpc.add_ServingServiceServicer_to_server,
            board,
        ),
        Service(
            event_log_pb2.DESCRIPTOR.services_by_name["EventLogService"],
            event_log_pb2_grpc.add_EventLogServiceServicer_to_server,
            log,
        ),
    ]
    with serving(services, keys=keys, tls=tls) as server:
        try:
            yield Backends(board, log, server, keys)
        finally:
            board.end()
            log.end()
