"""Puts the trainer together from its parts, and runs them until a signal comes.

The server answers probes only: nobody calls a trainer. It says SERVING while the control plane can be reached, because
a trainer that cannot lease does nothing.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import grpc

from common.clock import SystemClock
from common.files.locations import ATTRIBUTION_OUTPUT, OUTPUT_PATH
from common.logs import get_logger
from common.process.lifecycle import wait_for_signal
from common.recommendation_ids import recommendation_ids
from common.rpc import AioRpcServer
from common.storage import Store
from inference.used_items import EventWindow
from recipes.components.themes.loading import DEFAULT_WRITER, load_writer
from trainer.batch.inference_handler import BatchInferenceJobHandler
from trainer.batch.runner import BatchRunner
from trainer.batch.segments import BatchSegmentJobHandler
from trainer.deletions import DeletionJobHandler, UserSearchHandler
from trainer.deletions.remote import RemoteRecordCounter, RemoteUserRemover
from trainer.exports import ExportJobHandler
from trainer.features import FeatureSnapshotJobHandler
from trainer.files.sources import Sources
from trainer.flushing.calls import SealingCalls
from trainer.flushing.remote import RemoteFlusher
from trainer.imports import ImportJobHandler
from trainer.maintenance import MaintenanceJobHandler
from trainer.removal import RemovalJobHandler
from trainer.settings import TrainerSettings
from trainer.training import TrainingJobHandler
from trainer.training.memory import MemoryBudget
from trainer.training.spec import TrainingOptions
from trainer.training.update_handler import UpdateJobHandler
from trainer.worker import JobHandler
from trainer.worker.loop import Worker
from trainer.workspace import Workspace

__all__ = ["Readiness", "lanes", "make_handlers", "work_until_signal", "worker_id"]

_log = get_logger(__name__)
#: Kinds of jobs that may take hours, and all processors meanwhile.
_HEAVY: Final = frozenset({"solution_version_training"})
#: Kinds that take long as well, and the processors that `compute` gives them.
_BATCH: Final = frozenset({"batch_inference", "batch_segment"})


class Readiness:
    """Lets health say whether the control plane can be reached.

    Args:
        server: Answers the probes.
    """

    def __init__(self, server: AioRpcServer) -> None:
        self._server = server

    def contact(self, is_reachable: bool) -> None:
        """Switch to SERVING while the control plane can be reached, and to NOT_SERVING while it cannot."""
        if is_reachable:
            self._server.ready()
        else:
            self._server.not_ready()


def worker_id() -> str:
    """Return the name of this process in the queue, e.g. `host-1234`."""
    return f"{socket.gethostname()}-{os.getpid()}"


def make_handlers(settings: TrainerSettings, store: Store, events_service: grpc.Channel) -> Mapping[str, JobHandler]:
    """Make what does the jobs, by member of a job's `payload`.

    Raises:
        InvalidInput: There is no such writer of themes as the settings name.
    """
    if settings.theme_writer != DEFAULT_WRITER:
        load_writer(settings.theme_writer)  # one that is missing stops the trainer here and not in its first job
    workspace = Workspace(settings.work())
    workspace.sweep()
    sources = Sources(settings.store(), buckets=settings.buckets(), roots=settings.roots())
    outputs = settings.outputs(OUTPUT_PATH)
    calls = SealingCalls(events_service)
    flusher = RemoteFlusher(calls)
    options = TrainingOptions(
        seed=settings.seed,
        recall_floor=settings.recall_floor,
        index_trees=settings.index_trees,
        checkpoint_seconds=settings.checkpoint_seconds,
        ray_address=settings.ray_address if settings.compute == "ray" else None,
    )
    trainings = TrainingJobHandler(
        store,
        workspace,
        store_settings=settings.store(),
        options=options,
        flusher=flusher,
        memory=None if settings.training_memory_bytes == 0 else MemoryBudget(settings.training_memory_bytes),
    )
    batch_runner = BatchRunner(settings.batch_sources(), outputs, workspace, settings.open_compute())
    return {
        "dataset_import": ImportJobHandler(
            store,
            sources,
            workspace,
            outputs=settings.outputs(ATTRIBUTION_OUTPUT),
            ids=recommendation_ids(settings),
        ),
        "solution_version_training": trainings,
        "solution_version_update": UpdateJobHandler(store, trainings),
        "dataset_export": ExportJobHandler(store, outputs, workspace, flusher=flusher),
        "data_deletion": DeletionJobHandler(
            store,
            sources,
            workspace,
            flusher=flusher,
            remover=RemoteUserRemover(calls),
            max_bytes=settings.deletion_max_bytes,
        ),
        "user_search": UserSearchHandler(store, workspace, counter=RemoteRecordCounter(calls), clock=SystemClock()),
        "storage_removal": RemovalJobHandler(store),
        "storage_maintenance": MaintenanceJobHandler(store, workspace, SystemClock()),
        "feature_snapshot": FeatureSnapshotJobHandler(store, workspace, flusher=flusher),
        "batch_inference": BatchInferenceJobHandler(
            store,
            batch_runner,
            flusher=flusher,
            store_settings=settings.store(),
            history_events=settings.history_events,
            window=EventWindow(settings.filter_events),
            theme_writer=settings.theme_writer,
        ),
        "batch_segment": BatchSegmentJobHandler(store, batch_runner, flusher=flusher, store_settings=settings.store()),
    }


def lanes(kinds: Iterable[str], settings: TrainerSettings) -> list[frozenset[str]]:
    """Return for each place which kinds of jobs it is for: what takes seconds does not wait for what takes hours.

    Args:
        kinds: Members of a job's `payload` that can be done here.
        settings: How many places there are.
    """
    light = frozenset(kinds) - _HEAVY - _BATCH
    return [_HEAVY] * settings.max_jobs + [_BATCH] * settings.max_batch_jobs + [light] * settings.max_light_jobs


async def work_until_signal(server: AioRpcServer, workers: Sequence[Worker], *, grace_seconds: float) -> None:
    """Work until SIGTERM or SIGINT; a job that runs then gets to a safe point or is handed back.

    Args:
        server: Bound, not started.
        workers: Not started.
        grace_seconds: Time for running jobs to end.
    """
    await server.start()
    _log.info("started", port=server.port)
    # Daemons: one that is stuck in a library must not keep the process alive for longer than the grace.
    threads = [
        threading.Thread(target=worker.run, name=f"worker-{place}", daemon=True) for place, worker in enumerate(workers)
    ]
    for thread in threads:
        thread.start()
    await wait_for_signal()
    _log.info("stopping", grace_seconds=grace_seconds)
    server.not_ready()
    for worker in workers:
        worker.close()
    deadline = time.monotonic() + grace_seconds
    for thread in threads:
        await asyncio.to_thread(thread.join, max(0.0, deadline - time.monotonic()))
    stuck = sum(thread.is_alive() for thread in threads)
    if stuck:
        _log.warning("jobs_left_behind", jobs=stuck)  # their leases run out, and others take them
    await server.stop(grace=0.5)
    _log.info("stopped")
