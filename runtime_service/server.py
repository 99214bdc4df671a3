"""Puts a worker together from its parts, all of them given by the caller, and runs it.

A worker listens only once it can answer. Others listen on the same port, so a caller is never given to one that does
not know yet what is served, and a health check finds the whole runtime ready, or nobody at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import grpc.aio

from common.logs import get_logger
from common.process.heartbeat import Beat
from common.recommendation_ids import RecommendationIds
from common.rpc import AioRpcServer, Service
from common.settings import TlsFiles
from common.storage import Store
from common.telemetry import NO_FIGURES, Figures
from common.telemetry.process import Telemetry
from inference.model import ModelLoader
from inference.used_items import EventWindow
from protos.tailorbird.internal.v1 import event_log_pb2_grpc, local_storage_pb2_grpc, serving_pb2_grpc
from protos.tailorbird.runtime.v1 import runtime_service_pb2, runtime_service_pb2_grpc
from recipes.catalog import RECIPES
from recipes.registry import import_scorers
from runtime_service.features.event_offsets import EventOffsets
from runtime_service.features.updater import FeatureUpdater, Opener
from runtime_service.history import HistoryReader, HistoryWriter
from runtime_service.history.freshness import Freshness
from runtime_service.history.held import HeldPositions, prune_held
from runtime_service.history.tail import LogTail
from runtime_service.recorded_answers.ring import AnswerRing
from runtime_service.servicers.explanations import ExplanationServicer, explanation_service
from runtime_service.servicers.local_storage import SERVICE as LOCAL_STORAGE_SERVICE
from runtime_service.servicers.local_storage import LocalFolders, LocalStorageServicer
from runtime_service.servicers.recommendations import RuntimeServicer
from runtime_service.servicers.requests import RequestReader
from runtime_service.servicers.user_histories import UserHistoryServicer, user_history_service
from runtime_service.serving.catch_up import CatchUp
from runtime_service.serving.deployments import DeploymentTable
from runtime_service.serving.impressions import ExplorerUpdater
from runtime_service.serving.kept import AssignmentFile
from runtime_service.serving.loads import Loads
from runtime_service.serving.readiness import follow_freshness, follow_health, wait_while_others_answer
from runtime_service.serving.recommender import Recommender
from runtime_service.serving.shown import TableFigures
from runtime_service.serving.states_shown import StateFigures
from runtime_service.serving.watcher import ServingWatcher

__all__ = ["Worker", "WorkerLimits", "follow_log"]

_log = get_logger(__name__)
# The parent of the workers imports this module before it forks them: they share the memory of what is compiled.
import_scorers(recipe for recipe in RECIPES.values() if recipe.kind.operation)
Connect = Callable[[], grpc.aio.Channel]


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """What bounds a worker.

    Attributes:
        watch_seconds: How long one call of `WatchServingAssignments` waits for a change.
        load_seconds: How long a deployment may take to load.
        cache_users: Users per deployment whose state is cached.
        event_wait_seconds: How long a caller may wait for the log to be read.
        grace_seconds: Time that running calls get at a stop.
        filter_events: How much of what users did filters read.
    """

    watch_seconds: float
    load_seconds: float
    cache_users: int
    event_wait_seconds: float
    grace_seconds: float
    filter_events: EventWindow


@dataclass(frozen=True, slots=True)
class Worker:
    """One process that answers requests.

    Attributes:
        connect: Opens the channel to the control plane.
        listen: Makes the server of some services, bound and not started; takes their `observer` by name.
        address: `host:port` that it shares with others.
        loader: Opens artifacts.
        kept: File of the assignments that this host had last.
        features: Opens snapshots of features.
        held: Where it says what these snapshots contain, for the process that keeps what is put.
        name: Of this worker on its host, there.
        histories: Recent events of users; closed at the end.
        freshness: Of these histories.
        folders: What of this host's disk is the runtime's, for operators.
        ids: Makes the ids of answers.
        ring: Records answers; closed at the end.
        runtime_id: Name of this worker, unique among all.
        limits: Bounds of its work.
        beat: Called with each request: a loop that answers a thousand before it comes to its timers does not hang.
        tls: Certificates to probe the other workers of the address with; None probes in plain text.
        telemetry: Observes this worker, by its name.
    """

    connect: Connect
    listen: Callable[..., AioRpcServer]
    address: str
    loader: ModelLoader
    kept: AssignmentFile
    features: Opener
    held: HeldPositions
    name: str
    histories: HistoryReader
    freshness: Freshness
    folders: LocalFolders
    ids: RecommendationIds
    ring: AnswerRing
    runtime_id: str
    limits: WorkerLimits
    beat: Beat
    tls: TlsFiles | None
    telemetry: Telemetry

    async def run(self) -> None:
        """Follow the assignments, and answer from when all of them are loaded or were tried; until cancelled."""
        with closing(self.histories), closing(self.ring):
            async with self.connect() as channel, asyncio.TaskGroup() as group:
                await self._serve(channel, group)

    async def _serve(self, channel: grpc.aio.Channel, group: asyncio.TaskGroup) -> None:
        table, figures = DeploymentTable(), self.telemetry.figures(self.name)
        features = FeatureUpdater(
            self.histories,
            self.features,
            deployments=table,
            note_held=partial(self.held.write, self.name),
            figures=figures,
        )
        control_plane = serving_pb2_grpc.ServingServiceStub(channel)
        catch_up = CatchUp(control_plane, in_force=features.in_force)
        watcher = ServingWatcher(
            control_plane,
            Loads(
                self.loader,
                limit_seconds=self.limits.load_seconds,
                cache_users=self.limits.cache_users,
                figures=figures,
            ),
            table=table,
            features=features,
            catch_up=catch_up,
            kept=self.kept,
            runtime_id=self.runtime_id,
            wait_seconds=self.limits.watch_seconds,
        )
        group.create_task(features.run())
        group.create_task(TableFigures(table, figures).run())
        group.create_task(StateFigures(table, figures, oldest_features=features.oldest_snapshot).run())
        watching = group.create_task(watcher.run())
        clock = asyncio.get_running_loop().time
        group.create_task(ExplorerUpdater(table, self.histories, clock=clock, figures=figures).run())
        await table.loaded.wait()
        self.histories.find("", "")  # one that cannot be read ends the worker here, before anybody relies on it
        await wait_while_others_answer(table, self.address, tls=self.tls)
        server = self.listen(self._services(table, features, catch_up), observer=self.telemetry.observer(self.name))
        await server.start()
        group.create_task(follow_health(table, server))
        group.create_task(follow_freshness(self.freshness, server))
        server.ready()
        _log.info("serving", port=server.port, runtime_id=self.runtime_id)
        try:
            await watching
        finally:
            _log.info("stopping", grace_seconds=self.limits.grace_seconds)
            await server.stop(grace=self.limits.grace_seconds)

    def _services(self, table: DeploymentTable, features: FeatureUpdater, catch_up: CatchUp) -> list[Service]:
        local_storage = Service(
            LOCAL_STORAGE_SERVICE,
            local_storage_pb2_grpc.add_LocalStorageServiceServicer_to_server,
            LocalStorageServicer(self.folders),
        )
        recommendations = RuntimeServicer(
            table,
            self.histories,
            features=features,
            catch_up=catch_up,
            ids=self.ids,
            beat=self.beat,
            ring=self.ring,
            event_wait_seconds=self.limits.event_wait_seconds,
            window=self.limits.filter_events,
        )
        explanations = ExplanationServicer(
            RequestReader(
                table, self.histories, features=features, catch_up=catch_up, window=self.limits.filter_events
            ),
            Recommender(self.histories),
            offsets=EventOffsets(self.histories, features, wait_seconds=self.limits.event_wait_seconds),
            recorded_answers=self.ring.folder,
            beat=self.beat,
        )
        histories = UserHistoryServicer(self.histories, runtime_id=self.runtime_id)
        return [
            runtime_service(recommendations),
            explanation_service(explanations),
            user_history_service(histories),
            local_storage,
        ]


async def follow_log(
    connect: Connect,
    history: HistoryWriter,
    store: Store,
    *,
    held: HeldPositions,
    freshness: Freshness,
    wait_seconds: float,
    figures: Figures = NO_FIGURES,
    forget_answers: Callable[[], None] = lambda: None,
) -> None:
    """Write the histories of this host and what was put, until cancelled.

    Args:
        connect: Opens the channel to the events service.
        history: Written in the order of the log; closed at the end.
        store: Has the ledger that says which users were deleted.
        held: What the workers have in snapshots, which need not be kept here.
        freshness: Told whenever the log was read to its end.
        wait_seconds: How long one call of `ReadRecords` waits for new events.
        figures: Say how far it is.
        forget_answers: Removes what workers recorded of their answers; called when users or datasets are deleted.
    """
    with closing(history):
        async with connect() as channel, asyncio.TaskGroup() as group:
            stub = event_log_pb2_grpc.EventLogServiceStub(channel)
            tail = LogTail(
                stub,
                history,
                store,
                wait_seconds=wait_seconds,
                note_current=freshness.note,
                figures=figures,
                forget_answers=forget_answers,
            )
            group.create_task(tail.run())
            group.create_task(prune_held(history, held, figures=figures))


def runtime_service(servicer: RuntimeServicer) -> Service:
    """Return the public service of the runtime."""
    return Service(
        runtime_service_pb2.DESCRIPTOR.services_by_name["RuntimeService"],
        runtime_service_pb2_grpc.add_RuntimeServiceServicer_to_server,
        servicer,
    )
