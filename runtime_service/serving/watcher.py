"""Brings what this worker serves in line with what the control plane assigns, and reports how far it is.

Watching, loading and reporting go on side by side: a long load must not make the worker look dead, and a control plane
that is away must not stop what is served, nor keep a worker from beginning with what this host was last told. What
fails to load is told, and tried again for as long as it is wanted; see docs/adr/0016.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import grpc.aio

from common.errors import CorruptArtifact, TailorbirdError, Unavailable
from common.logs import get_logger
from common.process.backoff import BackoffPolicy
from common.process.contact import PeerContact
from common.rpc import from_rpc_error
from protos.tailorbird.internal.v1 import serving_pb2, serving_pb2_grpc
from runtime_service.serving.catch_up import CatchUp
from runtime_service.serving.deployments import Assignment, Deployment, DeploymentTable
from runtime_service.serving.goals import FAILED, LOADING, READY, Goal, identity, is_active, to_assignment
from runtime_service.serving.kept import AssignmentFile
from runtime_service.serving.loads import Loads, StillLoading

__all__ = ["ServingWatcher"]

#: How long a store that cannot be reached is asked before a deployment counts as failed.
_PATIENCE_SECONDS: Final = 4.0
#: Pauses between attempts to load.
_LOAD_BACKOFF: Final = BackoffPolicy(first_seconds=0.5, longest_seconds=30.0, jitter=0.5)
#: How long the control plane is waited for before a worker begins with what was kept.
_CONFIRM_SECONDS: Final = 0.5
#: A control plane where too many wait answers at once that nothing changed; such questions are so many seconds apart.
_UNCHANGED_SECONDS: Final = 0.5
_Messages = Sequence[serving_pb2.ServingAssignment]
_log = get_logger(__name__)


class FollowsFeatures(Protocol):
    """Follows the features of dataset groups."""

    def assign(self, messages: Iterable[serving_pb2.ServingDatasetGroup]) -> None:
        """Follow these groups from now on, and no others."""

    def bound(self, deployment: Deployment) -> AbstractAsyncContextManager[None]:
        """Make what filters of a deployment need, or try to, for a bounded time; kept while this is open."""


class ServingWatcher:
    """Keeps a table of deployments up to date for as long as it is run.

    Args:
        control_plane: Stub of its serving service.
        loads: Makes deployments.
        table: What requests are answered from.
        features: Follows the dataset groups of what is assigned.
        catch_up: Told of each revision that is applied, and when the control plane cannot be reached.
        kept: What this host was last told.
        runtime_id: Name of this worker, unique among all.
        wait_seconds: How long one question for changes waits.
    """

    def __init__(
        self,
        control_plane: serving_pb2_grpc.ServingServiceAsyncStub,
        loads: Loads,
        *,
        table: DeploymentTable,
        features: FollowsFeatures,
        catch_up: CatchUp,
        kept: AssignmentFile,
        runtime_id: str,
        wait_seconds: float,
    ) -> None:
        self._control_plane = control_plane
        self._loads = loads
        self._table = table
        self._features = features
        self._catch_up = catch_up
        self._kept = kept
        self._runtime_id = runtime_id
        self._wait_seconds = wait_seconds
        self._goals: dict[str, Goal] = {}
        self._dataset_groups: Sequence[serving_pb2.ServingDatasetGroup] = ()
        self._tried = asyncio.Event()  # the control plane was asked once, with or without success
        self._to_report = asyncio.Event()
        self._to_keep = asyncio.Event()

    async def run(self) -> None:
        """Watch, load, report and keep until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(group))
            group.create_task(self._begin_unconfirmed(group))
            group.create_task(self._report())
            group.create_task(self._keep())

    async def _watch(self, group: asyncio.TaskGroup) -> None:
        contact, revision, clock = PeerContact(), None, asyncio.get_running_loop().time
        applying = PeerContact(backoff=_LOAD_BACKOFF, quiet_seconds=0.0)
        assignments: _Messages | None = None
        groups: Sequence[serving_pb2.ServingDatasetGroup] = ()
        is_away = False
        while True:
            sent = clock()
            request = serving_pb2.WatchServingAssignmentsRequest(
                runtime_id=self._runtime_id, known_revision=revision, wait_seconds=self._wait_seconds
            )
            try:
                answer = await self._control_plane.WatchServingAssignments(request)
            except (grpc.aio.AioRpcError, TailorbirdError) as error:
                self._tried.set()
                self._catch_up.lost()
                is_away = True
                await asyncio.sleep(contact.failed("control_plane_unreachable", _to_error(error)))
                continue
            contact.succeeded("control_plane_reached")
            if is_away:
                is_away = False
                # It removes workers that have not reported for long, with their reports.
                self._to_report.set()
            # Some fields change without a new revision.
            now = list(answer.assignments), list(answer.dataset_groups)
            if answer.revision != revision or now != (assignments, groups):
                revision, (assignments, groups) = answer.revision, now
                self._confirm()
                try:
                    self._apply(assignments, groups, group)
                except Exception as error:  # noqa: BLE001 -- what is served goes on; `failed` logs its trace
                    revision = None  # so that it is told, and tried, again
                    await asyncio.sleep(applying.failed("assignments_not_applied", error))
                    continue
                applying.succeeded("assignments_applied")
                self._catch_up.applied(revision)
                self._to_keep.set()
            else:
                self._catch_up.applied(revision)
                await asyncio.sleep(sent + _UNCHANGED_SECONDS - clock())
            self._tried.set()

    async def _begin_unconfirmed(self, group: asyncio.TaskGroup) -> None:
        """Serve what this host was last told, if the control plane does not say at once what is to be served."""
        kept = await asyncio.to_thread(self._kept.read)
        try:
            await asyncio.wait_for(self._tried.wait(), _CONFIRM_SECONDS)
        except TimeoutError:
            self._tried.set()
        if self._table.confirmed or not kept.assignments:
            return
        # No warning: at a start side by side it is on its way. One that stays away is told by `_watch`.
        _log.info("assignments_unconfirmed", campaigns=len(kept.assignments), cause="the control plane is away")
        try:
            self._apply(kept.assignments, kept.dataset_groups, group)
        except Exception as error:  # noqa: BLE001 -- the control plane will say what is to be served; this logs the trace
            PeerContact(quiet_seconds=0.0).failed("kept_assignments_not_applied", error)

    def _confirm(self) -> None:
        if self._goals and not self._table.confirmed:
            _log.info("assignments_confirmed", campaigns=len(self._goals))
        self._table.confirm()

    def _apply(
        self,
        messages: _Messages,
        dataset_groups: Sequence[serving_pb2.ServingDatasetGroup],
        group: asyncio.TaskGroup,
    ) -> None:
        self._dataset_groups = dataset_groups
        self._features.assign(dataset_groups)
        by_campaign = {message.serving_arn: message for message in messages}
        self._table.keep([arn for arn, message in by_campaign.items() if is_active(message) or self._serves(message)])
        for campaign_arn in self._goals.keys() - by_campaign.keys():
            _log.info("campaign_dropped", campaign_arn=campaign_arn)
            self._goals.pop(campaign_arn).give_up()
        for campaign_arn, message in by_campaign.items():
            assignment = to_assignment(message)
            serving, goal = self._table.find(campaign_arn), self._goals.get(campaign_arn)
            if serving is not None and self._serves(message):
                self._table.serve(serving.reassigned(assignment))
                self._replace(Goal(message, assignment, READY))
            elif goal is not None and identity(goal.assignment) == identity(assignment):
                goal.message, goal.assignment = message, assignment
            else:
                goal = Goal(message, assignment, LOADING)
                self._replace(goal)
                goal.load = group.create_task(self._pursue(goal))
        goals = self._goals.values()
        self._table.expect(
            (goal.campaign_arn for goal in goals if goal.active),
            begun=(goal.campaign_arn for goal in goals if not goal.active),
        )
        self._note()

    def _serves(self, message: serving_pb2.ServingAssignment) -> bool:
        serving = self._table.find(message.serving_arn)
        return serving is not None and identity(serving.assignment) == identity(message)

    def _replace(self, goal: Goal) -> None:
        before = self._goals.get(goal.campaign_arn)
        if before is not None:
            before.give_up()
        self._goals[goal.campaign_arn] = goal

    async def _pursue(self, goal: Goal) -> None:
        """Bring a goal to its end, again and again until it is there; cancelled when it is not wanted."""
        contact = PeerContact(backoff=_LOAD_BACKOFF, quiet_seconds=0.0)
        while True:
            try:
                await self._load_and_serve(goal)
                return
            except Exception as error:  # noqa: BLE001 -- what one campaign trips over must not end the worker
                pause = contact.failed("deployment_not_served", error)
                self._fail(goal, CorruptArtifact(f"internal error: {type(error).__name__}"))
                await asyncio.sleep(pause)

    async def _load_and_serve(self, goal: Goal) -> None:
        """Load what a campaign is to serve until that succeeds, and serve it."""
        began, clock = asyncio.get_running_loop().time(), asyncio.get_running_loop().time
        contact = PeerContact(backoff=_LOAD_BACKOFF, quiet_seconds=0.0)
        await self._serve_before(goal, newer_only=True)
        while True:
            try:
                deployment = await self._make(goal.assignment)
                break
            except TailorbirdError as error:
                failure = error
            await self._serve_before(goal)
            slow = isinstance(failure, StillLoading)
            # A store that is away for a moment fails nothing yet.
            if slow or not isinstance(failure, Unavailable) or clock() - began >= _PATIENCE_SECONDS:
                self._fail(goal, failure)
            if not slow:
                await asyncio.sleep(contact.failed("deployment_not_loaded", failure))
        async with self._features.bound(deployment):
            # The control plane may have changed its mind about the rest meanwhile.
            self._table.serve(deployment.reassigned(goal.assignment))
        goal.phase, goal.failure_reason, goal.load = READY, "", None
        _log.info(
            "deployment_ready",
            campaign_arn=goal.campaign_arn,
            items=len(deployment.model.items),
            seconds=round(clock() - began, 3),
        )
        self._to_keep.set()
        self._note()

    async def _make(self, assignment: Assignment) -> Deployment:
        try:
            return await self._loads.make(assignment, served=self._table.all())
        except TailorbirdError:
            raise
        except Exception as error:  # an artifact that trips over a bug must not stop other campaigns
            _log.error("load_failed", campaign_arn=assignment.campaign_arn, exc_info=error)
            raise CorruptArtifact(
                f"artifact {assignment.artifact_location}: internal error: {type(error).__name__}"
            ) from error

    def _fail(self, goal: Goal, failure: TailorbirdError) -> None:
        reason = failure.message
        if self._table.find(goal.campaign_arn) is not None:
            reason += "; the version before it answers meanwhile"
        if (goal.phase, goal.failure_reason) == (FAILED, reason):
            return  # told already
        goal.phase, goal.failure_reason = FAILED, reason
        _log.error("deployment_failed", campaign_arn=goal.campaign_arn, reason=failure.reason, message=reason)
        self._note()

    async def _serve_before(self, goal: Goal, *, newer_only: bool = False) -> None:
        """Let a campaign that nothing answers for be answered by what was served last on this host, if it loads.

        Args:
            goal: What the campaign is to serve, which is not loaded.
            newer_only: Leave what is older than the goal itself.
        """
        # One that is not ACTIVE yet served nothing: what was kept is of a campaign of its name that was deleted.
        if self._table.find(goal.campaign_arn) is not None or not goal.active:
            return
        kept = await asyncio.to_thread(self._kept.read)
        for message in kept.served.get(goal.campaign_arn, ()):
            if message.dataset_group_arn != goal.assignment.dataset_group_arn:
                continue
            if identity(message) == identity(goal.assignment):
                if newer_only:
                    return
                continue
            try:
                before = await self._make(to_assignment(message))
            except TailorbirdError as error:
                _log.warning("version_before_not_loaded", campaign_arn=goal.campaign_arn, message=error.message)
                continue
            _log.warning("version_before_serves", campaign_arn=goal.campaign_arn, deployment_id=message.deployment_id)
            async with self._features.bound(before):
                self._table.serve(before)
            self._note()
            return

    async def _report(self) -> None:
        contact = PeerContact(quiet_seconds=0.0)
        while True:
            await self._to_report.wait()
            self._to_report.clear()
            states = [goal.state() for goal in self._goals.values()]
            try:
                await self._control_plane.ReportServing(
                    serving_pb2.ReportServingRequest(runtime_id=self._runtime_id, states=states)
                )
            except (grpc.aio.AioRpcError, TailorbirdError) as error:
                self._to_report.set()
                await asyncio.sleep(contact.failed("report_failed", _to_error(error)))
            else:
                contact.succeeded("report_taken")

    async def _keep(self) -> None:
        """Keep what is assigned and served on the disk, whenever it changes."""
        contact = PeerContact(quiet_seconds=0.0)
        while True:
            await self._to_keep.wait()
            self._to_keep.clear()
            if not self._table.confirmed:
                continue
            assignments = [goal.message for goal in self._goals.values()]
            served = [goal.message for goal in self._goals.values() if goal.phase == READY]
            try:
                named = await asyncio.to_thread(
                    self._kept.keep, assignments, served=served, dataset_groups=self._dataset_groups
                )
                # What was assigned meanwhile may be loaded already, and not yet be kept.
                now = {goal.assignment.artifact_location for goal in self._goals.values()}
                await self._loads.forget_others(named | now)
            except (OSError, TailorbirdError) as error:
                self._to_keep.set()
                cause = Unavailable(str(error)) if isinstance(error, OSError) else error
                await asyncio.sleep(contact.failed("assignments_not_kept", cause))
            else:
                contact.succeeded("assignments_kept")

    def _note(self) -> None:
        """Say that something changed: to the control plane, and to whoever waits until all was tried."""
        self._to_report.set()
        loading = [goal for goal in self._goals.values() if goal.active and goal.phase == LOADING]
        if all(self._table.find(goal.campaign_arn) is not None for goal in loading):
            self._table.loaded.set()


def _to_error(error: grpc.aio.AioRpcError | TailorbirdError) -> TailorbirdError:
    return error if isinstance(error, TailorbirdError) else from_rpc_error(error)
