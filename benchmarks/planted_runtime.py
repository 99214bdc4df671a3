"""A runtime alone, without the services around it, that serves a planted artifact (see `benchmarks.planted`).

It begins with the assignments that are kept on its host's disk, as after an outage of the control plane.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
import psutil
from google.protobuf import json_format
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.planted import GENRE_COLUMN, GENRE_SCHEMA, Planted, genres_of_planted, plant, plant_genres
from benchmarks.processes import ServiceSettings, free_base, running_process
from cli.demo.items import EVENT, SCHEMAS
from common.rpc import channel
from common.settings import StoreSettings
from common.storage.objects import open_store
from protos.tailorbird.internal.v1.serving_pb2 import (
    ServingAssignment,
    ServingDataset,
    ServingDatasetGroup,
    ServingFilter,
)
from protos.tailorbird.runtime.v1.runtime_service_pb2 import GetRecommendationsRequest

__all__ = ["RESULTS", "Place", "Started", "filtered_requests", "requests_of", "running_runtime"]

RESULTS: Final = 25
_CAMPAIGN: Final = "arn:aws:personalize:us-east-1:000000000000:campaign/planted"
_GROUP: Final = "arn:aws:personalize:us-east-1:000000000000:dataset-group/planted"
_FILTER: Final = "arn:aws:personalize:us-east-1:000000000000:filter/planted"
#: One parametrised filter of items, one of interactions.
_EXPRESSION: Final = (
    f"INCLUDE ItemID WHERE Items.{GENRE_COLUMN} IN ($GENRES) | "
    f'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("{EVENT}")'
)
#: Of those of the filter's parameter.
_GENRES: Final = 3
_START_SECONDS: Final = 600.0
#: The version of the file of assignments.
_KEPT_FORMAT: Final = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything of a measurement lies.

    Attributes:
        folder: Of it all, but for artifacts that are kept.
        settings: Keys and environment.
        store_url: Of the store.
        planted: The artifact.
        features: Folder of the snapshot of the items' genres, in the store; empty where nothing is filtered.
    """

    folder: Path
    settings: ServiceSettings
    store_url: str
    planted: Planted
    features: str

    @classmethod
    def prepared(cls, folder: Path, *, artifacts: Path | None, n_items: int, n_users: int, filters: bool) -> Place:
        """Plant an artifact, or take that which is there.

        Args:
            folder: Existing, empty.
            artifacts: Where artifacts are kept from one run to the next; None keeps none.
            n_items: Items of the catalogue.
            n_users: Users that the model knows.
            filters: Whether requests are to be filtered.
        """
        settings = ServiceSettings.prepared(folder)
        (folder / "token").write_text(settings.token("runtime"))
        url = str(folder / "store" if artifacts is None else artifacts)
        store = open_store(StoreSettings(store_url=url))
        planted = plant(store, n_items=n_items, n_users=n_users)
        return cls(folder, settings, url, planted, plant_genres(store, planted) if filters else "")


@dataclass(frozen=True, slots=True)
class Started:
    """A runtime that serves.

    Attributes:
        address: `host:port`.
        seconds: From the start of the process until it said that it serves.
        process: The parent of its workers.
    """

    address: str
    seconds: float
    process: psutil.Process

    def memory(self) -> dict[str, float]:
        """Return MiB of one worker, the most of all.

        `worker_mib` is what it has for itself, `shared_mib` what it shares with others or the file cache, and
        `proportional_mib` what it has for itself with its part of what it shares with others.
        """
        figures: dict[str, list[float]] = {"worker_mib": [], "shared_mib": [], "proportional_mib": []}
        for child in self.process.children():
            taken = child.memory_full_info()
            for name, size in zip(figures, (taken.uss, taken.rss - taken.uss, taken.pss), strict=True):
                figures[name].append(size / 2**20)
        return {name: round(max(sizes), 1) for name, sizes in figures.items()}


@contextmanager
def running_runtime(
    place: Place,
    *,
    workers: int,
    name: str = "runtime",
    environ: Mapping[str, str] | None = None,
    module: str = "runtime_service",
) -> Iterator[Started]:
    """Run the runtime.

    Args:
        place: Where, and what it serves.
        workers: Processes that answer.
        name: Of the folder for its state; what was verified there is not verified again.
        environ: Settings beside the usual ones.
        module: What is run.
    """
    address, state = f"127.0.0.1:{free_base(1)}", place.folder / name
    state.mkdir(exist_ok=True)
    (state / "assignments.json").write_text(_assignments(place))
    all_settings = {
        **place.settings.environ,
        "TAILORBIRD_STORE_URL": place.store_url,
        "TAILORBIRD_LISTEN": address,
        "TAILORBIRD_EVENTS_SERVICE": place.settings.addresses["events_service"],
        "TAILORBIRD_CACHE_DIR": str(state / "artifacts"),
        "TAILORBIRD_HISTORY_DIR": str(state / "history"),
        "TAILORBIRD_WORKERS": str(workers),
        **(environ or {}),
    }
    began = time.monotonic()
    with running_process(
        [sys.executable, "-m", module],
        log=place.folder / f"{name}.log",
        is_ready=partial(_serves, address),
        start_seconds=_START_SECONDS,
        environ=all_settings,
    ) as process:
        yield Started(address, time.monotonic() - began, psutil.Process(process.pid))


def requests_of(place: Place, count: int) -> list[GetRecommendationsRequest]:
    """Return requests of so many users."""
    return [
        GetRecommendationsRequest(campaign_arn=_CAMPAIGN, user_id=user, num_results=RESULTS)
        for user in place.planted.users[:count]
    ]


def filtered_requests(requests: Sequence[GetRecommendationsRequest]) -> list[GetRecommendationsRequest]:
    """Return the same requests for items of three genres that the user has not used."""
    genres, filtered = genres_of_planted(), []
    for number, request in enumerate(requests):
        chosen = [genres[(number + step) % len(genres)] for step in range(_GENRES)]
        copy = GetRecommendationsRequest(
            filter_arn=_FILTER, filter_values={"GENRES": ",".join(json.dumps(genre) for genre in chosen)}
        )
        copy.MergeFrom(request)
        filtered.append(copy)
    return filtered


def _assignments(place: Place) -> str:
    """Return the file of assignments."""
    assignment = ServingAssignment(
        serving_arn=_CAMPAIGN,
        deployment_id="planted",
        artifact_location=place.planted.location,
        dataset_group_arn=_GROUP,
        active=True,
    )
    groups = []
    if place.features:
        datasets = [
            ServingDataset(dataset_type="INTERACTIONS", schema=SCHEMAS["Interactions"]),
            ServingDataset(dataset_type="ITEMS", schema=GENRE_SCHEMA, features_location=place.features),
        ]
        filters = [ServingFilter(filter_arn=_FILTER, filter_expression=_EXPRESSION)]
        groups = [ServingDatasetGroup(dataset_group_arn=_GROUP, datasets=datasets, filters=filters)]
    document = {
        "format_version": _KEPT_FORMAT,
        "assignments": [_plain(assignment)],
        "served": [],
        "dataset_groups": [_plain(group) for group in groups],
    }
    return json.dumps(document)


def _plain(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _serves(address: str) -> bool:
    """Return whether a runtime says that it serves the campaign."""
    with channel(address, token="") as opened:
        try:
            answer = health_pb2_grpc.HealthStub(opened).Check(
                health_pb2.HealthCheckRequest(service=_CAMPAIGN), timeout=1.0
            )
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
