"""Settings of the runtime, read once by its `__main__`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, TypedDict

from pydantic import Field

from common.process.forked import Patience
from common.processors import usable_processors
from common.recommendation_ids import RecommendationIds, recommendation_keys
from common.settings import RecommendationSettings, ServerSettings, StoreSettings
from common.storage import Store
from common.telemetry.process import Telemetry
from inference.model import ModelLoader
from inference.new_items import MAX_NEW_ITEMS
from inference.past_events import MAX_LATER
from inference.used_items import EventWindow
from runtime_service.figures import FIGURES
from runtime_service.history.freshness import Freshness
from runtime_service.history.held import HeldPositions
from runtime_service.history.lmdb import MAX_PUTS, MAX_USERS, prepare_history
from runtime_service.recorded_answers.ring import AnswerRing, erase_answers, keep_rings
from runtime_service.server import WorkerLimits
from runtime_service.servicers.local_storage import LocalFolders
from runtime_service.serving.kept import AssignmentFile

__all__ = ["RuntimeSettings"]

_DEFAULT_WORKERS = 4


class HistoryBounds(TypedDict):
    """Bounds of the histories, by the names of their writer's arguments.

    Attributes:
        max_events: Events of a user.
        max_users: Users and sessions.
        max_puts: Items, users and actions that were put.
    """

    max_events: int
    max_users: int
    max_puts: int


class TailArguments(TypedDict):
    """How the process that tails the log does so, by the names of `follow_log`'s arguments.

    Attributes:
        held: What the workers have in snapshots.
        freshness: Told whenever the log was read to its end.
        wait_seconds: How long one call waits for new events.
        forget_answers: Removes what workers recorded of their answers.
    """

    held: HeldPositions
    freshness: Freshness
    wait_seconds: float
    forget_answers: Callable[[], None]


class RuntimeSettings(ServerSettings, StoreSettings, RecommendationSettings):
    """Environment variables `TAILORBIRD_<NAME>`."""

    listen: str = Field("127.0.0.1:7403", description="HOST:PORT that calls are taken on, by all workers together.")
    control_plane: str = Field("127.0.0.1:7401", description="HOST:PORT of the control plane.")
    events_service: str = Field("127.0.0.1:7402", description="HOST:PORT of the events service.")
    workers: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Processes that answer calls; by default one per processor that this one may use, at most 4.",
    )
    index: Literal["auto", "exact", "scan", "lists", "annoy"] = Field(
        "auto",
        description="How candidates are found: `auto` takes what each artifact's calibration chose; `exact` "
        "scores all items; `scan`, which is exact too, `lists` and `annoy` are taken where the artifact has them, and "
        "else what was chosen, or in the place of `scan` `exact`.",
    )
    cache_dir: Path = Field(
        Path("tailorbird-data/runtime/artifacts"),
        description="Copies of artifacts, used when the shared store is not a folder.",
    )
    history_dir: Path = Field(
        Path("tailorbird-data/runtime/history"),
        description="Recent events by user; rebuilt from the log when lost. What "
        "was last to be served is kept beside it, in `assignments.json`, for starts without the control plane.",
    )
    history_events: int = Field(200, ge=1, le=1000, description="Newest events kept for each user or session.")
    history_users: int = Field(
        MAX_USERS,
        ge=1000,
        description="Users and sessions kept on a host; beyond, those go whose last event is oldest.",
    )
    history_puts: int = Field(
        MAX_PUTS,
        ge=1000,
        description="Items, users and actions that were put since the last snapshot of their features, kept on a host.",
    )
    history_map_bytes: int = Field(
        1 << 34, ge=1 << 20, description="First size of the history's map; a sparse file, which grows when it is full."
    )
    filter_events: int | None = Field(
        None,
        ge=1,
        le=MAX_LATER,
        description="Newest interactions of each type of a user that filters read; by default all, Personalize's are "
        "100.",
    )
    filter_action_events: int | None = Field(
        None,
        ge=1,
        le=MAX_LATER,
        description="The same of interactions with actions; by default all, Personalize's are 300.",
    )
    new_items: int = Field(
        MAX_NEW_ITEMS,
        ge=0,
        le=1_000_000,
        description="Items of each model at most that are put or imported after its training and served with it; those "
        "that come then wait for the next training.",
    )
    query_cache_users: int = Field(
        10_000, ge=0, description="Users with recent events whose vectors each worker keeps, per campaign."
    )
    watch_seconds: float = Field(
        10.0, gt=0, le=60, description="How long one question for changed assignments or new events waits."
    )

    recorded_answers_bytes: int = Field(
        16 << 20,
        ge=0,
        le=1 << 32,
        description="Newest answers that each worker keeps on its host's disk, so that they can be explained; 0 keeps "
        "none. They hold ids of users, and are erased when any user is deleted.",
    )

    event_wait_seconds: float = Field(
        5.0,
        ge=0,
        le=60,
        description="How long a caller may wait at most until answers include the events that it names by "
        "`x-tailorbird-wait-for-event-offset`; never beyond its own deadline.",
    )

    history_late_seconds: float = Field(
        10.0,
        gt=0,
        description="Histories count as late, which the health of `histories` tells, when the log was last read to its "
        "end so long ago, beyond TAILORBIRD_WATCH_SECONDS.",
    )

    load_seconds: float = Field(
        300.0, gt=0, description="An artifact that takes longer to load counts as failed, until it is loaded."
    )

    drain_seconds: float = Field(
        2.0,
        ge=0,
        description="Time at a stop in which the health is NOT_SERVING while calls are served, so that proxies and "
        "clients that watch it go elsewhere.",
    )
    silent_seconds: float = Field(
        15.0,
        ge=3,
        description="A process of the runtime whose event loop stands still for so long is killed and started again; "
        "four times as long while it starts.",
    )

    def recommendation_ids(self) -> RecommendationIds:
        """Return what makes the ids of answers; the errors of `recommendation_keys`."""
        return RecommendationIds(recommendation_keys(self.recommendation_key_file))

    def loader(self, store: Store) -> ModelLoader:
        """Return what opens the artifacts of a store."""
        return ModelLoader(store, cache=self.cache_dir, index=self.index, most_new_items=self.new_items)

    def limits(self) -> WorkerLimits:
        """Return what bounds each worker."""
        return WorkerLimits(
            watch_seconds=self.watch_seconds,
            load_seconds=self.load_seconds,
            cache_users=self.query_cache_users,
            event_wait_seconds=self.event_wait_seconds,
            grace_seconds=self.grace_seconds,
            filter_events=EventWindow(self.filter_events, self.filter_action_events),
        )

    def patience(self) -> Patience:
        """Return how long processes are waited for."""
        return Patience(grace_seconds=self.drain_seconds + self.grace_seconds, silent_seconds=self.silent_seconds)

    def history_bounds(self) -> HistoryBounds:
        """Return what bounds the histories."""
        return {"max_events": self.history_events, "max_users": self.history_users, "max_puts": self.history_puts}

    def tail(self) -> TailArguments:
        """Return how the log is tailed."""
        return {
            "held": self.held_positions(),
            "freshness": self.freshness(),
            "wait_seconds": self.watch_seconds,
            "forget_answers": partial(erase_answers, self.answers_dir()),
        }

    def held_positions(self) -> HeldPositions:
        """Return where the workers say what their snapshots contain."""
        return HeldPositions(self.history_dir, names=self.worker_names())

    def freshness(self) -> Freshness:
        """Return where the process that reads the log says whether the histories are up to date."""
        limit = self.watch_seconds + self.history_late_seconds
        return Freshness(self.history_dir / "current", limit_seconds=limit)

    def local_folders(self) -> LocalFolders:
        """Return the folders whose sizes operators are told."""
        return LocalFolders(copies=self.cache_dir, histories=self.history_dir)

    def features_dir(self) -> Path:
        """Return where copies of snapshots of features are kept, like those of artifacts."""
        return self.cache_dir.with_name("features")

    def assignments_file(self) -> AssignmentFile:
        """Return where the last assignments are kept."""
        return AssignmentFile(self.history_dir.with_name("assignments.json"))

    def prepare_folders(self) -> None:
        """Make the histories ready for all processes, and remove what workers left that are not started any more."""
        prepare_history(self.history_dir, map_bytes=self.history_map_bytes, workers=self.worker_names())
        keep_rings(self.answers_dir(), workers=self.worker_names())

    def answers_dir(self) -> Path:
        """Return where workers record their answers."""
        return self.history_dir.with_name("recent-answers")

    def answer_ring(self, name: str) -> AnswerRing:
        """Return what a worker records its answers in."""
        return AnswerRing(self.answers_dir(), name, max_bytes=self.recorded_answers_bytes)

    def worker_names(self) -> list[str]:
        """Return the names of the processes that answer calls."""
        count = self.workers or min(_DEFAULT_WORKERS, usable_processors())
        return [f"worker-{number}" for number in range(count)]

    def telemetry(self) -> Telemetry:
        """Return what observes the parts of this service; to be called once, before anything is forked."""
        return Telemetry(self, FIGURES, service="runtime_service", workers=["tail", *self.worker_names()])
