"""Brings what this worker serves in line with what the control plane assigns, and reports how far it is.

Watching, loading and reporting go on side by side: a long load must not make the worker look dead, and a control plane
that is away must not stop what is served.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import grpc.aio

from common.errors import CorruptArtifact, TailorbirdError, Unavailable
from common.logs import get_logger
from common.rpc import from_rpc_error
from protos.tailorbird.internal.v1 import serving_pb2, serving_pb2_grpc
from runtime_service.backoff import Backoff
from runtime_service.domain.histories import EventRule
from runtime_service.serving.deployments import Assignment, Deployment, DeploymentTable
from runtime_service.serving.exploration import read_settings
from runtime_service.serving.influence import RankingInfluence
from runtime_service.serving.model import Model, ModelLoader

__all__ = ["ServingWatcher"]

_LOADING = serving_pb2.SERVING_PHASE_LOADING
_READY = serving_pb2.SERVING_PHASE_READY
_FAILED = serving_pb2.SERVING_PHASE_FAILED
#: Loads that are tried before a store that cannot be reached fails a deployment.
_ATTEMPTS = 4
#: A control plane where too many wait answers at once that nothing changed; such questions are so many seconds apart.
_UNCHANGED_SECONDS = 0.5
_log = get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Goal:
    """One assignment and how far it is."""

    assignment: Assignment
    phase: serving_pb2.ServingPhase.ValueType
    failure_reason: str = ""
    load: asyncio.Task[None] | None = None


class ServingWatcher:
    """Keeps a table of deployments up to date for as long as it is run.

    Args:
        control_plane: Stub of its serving service.
        loader: Opens artifacts.
        table: What requests are answered from.
        runtime_id: Name of this worker, unique among all.
        wait_seconds: How long one question for changes waits.
        cache_users: Vectors kept per campaign.
    """

    def __init__(
        self,
        control_plane: serving_pb2_grpc.ServingServiceAsyncStub,
        loader: ModelLoader,
        *,
        table: DeploymentTable,
        runtime_id: str,
        wait_seconds: float,
        cache_users: int,
    ) -> None:
        self._control_plane = control_plane
        self._loader = loader
        self._table = table
        self._runtime_id = runtime_id
        self._wait_seconds = wait_seconds
        self._cache_users = cache_users
        self._goals: dict[str, _Goal] = {}
        self._to_report = asyncio.Event()
        self._one_load = asyncio.Lock()  # two artifacts at once would want twice the memory and the disk

    async def run(self) -> None:
        """Watch, load and report until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(group))
            group.create_task(self._report())

    async def _watch(self, group: asyncio.TaskGroup) -> None:
        backoff, revision, clock = Backoff(), None, asyncio.get_running_loop().time
        while True:
            asked = clock()
            request = serving_pb2.WatchServingAssignmentsRequest(
                runtime_id=self._runtime_id, known_revision=revision, wait_seconds=self._wait_seconds
            )
            try:
                answer = await self._control_plane.WatchServingAssignments(request)
            except (grpc.aio.AioRpcError, TailorbirdError) as error:
                await backoff.pause("control_plane_unreachable", _known(error))
                continue
            backoff.succeeded("control_plane_reached")
            if answer.revision != revision:
                self._apply([_to_assignment(item) for item in answer.assignments], group)
                revision = answer.revision
            else:
                await asyncio.sleep(asked + _UNCHANGED_SECONDS - clock())

    def _apply(self, assignments: list[Assignment], group: asyncio.TaskGroup) -> None:
        wanted = {assignment.campaign_arn: assignment for assignment in assignments}
        self._table.keep(wanted)
        for campaign_arn in self._goals.keys() - wanted.keys():
            _log.info("campaign_dropped", campaign_arn=campaign_arn)
            del self._goals[campaign_arn]
        for campaign_arn, assignment in wanted.items():
            serving, goal = self._table.find(campaign_arn), self._goals.get(campaign_arn)
            if serving is not None and serving.assignment.deployment_id == assignment.deployment_id:
                self._table.serve(serving.reassigned(assignment))
                self._goals[campaign_arn] = _Goal(assignment, _READY)
            elif goal is not None and goal.assignment.deployment_id == assignment.deployment_id:
                goal.assignment = assignment
            else:
                goal = self._goals[campaign_arn] = _Goal(assignment, _LOADING)
                goal.load = group.create_task(self._load(goal))
        self._to_report.set()
        self._note_known()

    async def _load(self, goal: _Goal) -> None:
        began = asyncio.get_running_loop().time()
        campaign_arn, failure_reason, deployment = goal.assignment.campaign_arn, "", None
        try:
            async with self._one_load:
                deployment = await self._make(goal)
        except TailorbirdError as error:
            failure_reason = error.message
            _log.warning("deployment_failed", campaign_arn=campaign_arn, reason=error.reason, message=error.message)
        except Exception as error:  # noqa: BLE001 - an artifact that trips over a bug must not stop other campaigns
            failure_reason = f"internal error: {type(error).__name__}"
            _log.error("deployment_failed", campaign_arn=campaign_arn, exc_info=error)
        if self._goals.get(campaign_arn) is not goal:
            return  # no longer wanted
        goal.load = None
        if deployment is None:
            goal.phase, goal.failure_reason = _FAILED, failure_reason
        else:
            # The control plane may have changed its mind meanwhile.
            self._table.serve(deployment.reassigned(goal.assignment))
            goal.phase = _READY
            seconds = round(asyncio.get_running_loop().time() - began, 3)
            _log.info("deployment_ready", campaign_arn=campaign_arn, items=len(deployment.model.items), seconds=seconds)
        self._to_report.set()
        self._note_known()

    async def _make(self, goal: _Goal) -> Deployment | None:
        """Load the artifact and put it to work; None when it is no longer wanted."""
        model = await self._open(goal)
        if model is None:
            return None
        return await asyncio.to_thread(Deployment.make, goal.assignment, model, cache_users=self._cache_users)

    async def _open(self, goal: _Goal) -> Model | None:
        """Load the artifact in a thread, so that requests go on; None when it is no longer wanted."""
        location, backoff = goal.assignment.artifact_location, Backoff(first_seconds=0.5)
        for deployment in self._table.all():
            if deployment.assignment.artifact_location == location:
                return deployment.model  # artifacts never change, and this one was verified
        for attempt in range(1, _ATTEMPTS + 1):
            if self._goals.get(goal.assignment.campaign_arn) is not goal:
                return None
            try:
                return await asyncio.to_thread(self._loader.load, location)
            except Unavailable as error:
                if attempt == _ATTEMPTS:
                    raise
                await backoff.pause("store_unreachable", error)
            except OSError as error:
                raise CorruptArtifact(f"artifact {location}: {error}") from error
        raise AssertionError("the last attempt returns or raises")

    async def _report(self) -> None:
        backoff = Backoff()
        while True:
            await self._to_report.wait()
            self._to_report.clear()
            states = [_to_state(goal) for goal in self._goals.values()]
            try:
                await self._control_plane.ReportServing(
                    serving_pb2.ReportServingRequest(runtime_id=self._runtime_id, states=states)
                )
            except (grpc.aio.AioRpcError, TailorbirdError) as error:
                self._to_report.set()
                await backoff.pause("report_failed", _known(error))
            else:
                backoff.succeeded("report_taken")

    def _note_known(self) -> None:
        if all(goal.phase != _LOADING for goal in self._goals.values()):
            self._table.known.set()


def _known(error: grpc.aio.AioRpcError | TailorbirdError) -> TailorbirdError:
    return error if isinstance(error, TailorbirdError) else from_rpc_error(error)


def _to_assignment(item: serving_pb2.ServingAssignment) -> Assignment:
    return Assignment(
        campaign_arn=item.serving_arn,
        deployment_id=item.deployment_id,
        artifact_location=item.artifact_location,
        dataset_group_arn=item.dataset_group_arn,
        event_type=item.event_type or None,
        event_rules=tuple(
            EventRule(rule.event_type or None, rule.least_value if rule.HasField("least_value") else None)
            for rule in item.event_rules
        ),
        exploration=read_settings(item.config_json),
        influence=RankingInfluence.read(item.config_json),
    )


def _to_state(goal: _Goal) -> serving_pb2.ServingState:
    return serving_pb2.ServingState(
        serving_arn=goal.assignment.campaign_arn,
        deployment_id=goal.assignment.deployment_id,
        phase=goal.phase,
        failure_reason=goal.failure_reason or None,
    )
