"""A complete control plane on a new database, with a clock that tests set; most tests here begin with it."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import SimpleNamespace

from google.protobuf import json_format

from common.arn import DEFAULT_ACCOUNT, ArnFactory
from common.clock import ManualClock
from control_plane.app_context import AppContext
from control_plane.domain.jobs import JobKind
from control_plane.domain.quotas import Quotas
from control_plane.jobs.queue import Lease
from control_plane.jobs.registry import JOBS
from control_plane.metadata_store.sql import SqlMetadataStore, open_metadata_store
from control_plane.metadata_store.tables import Deployment
from control_plane.resources.base import PageRequest
from control_plane.server import ControlPlane, Timing, assemble
from control_plane.serving.assignment_service import ReportedState
from control_plane.serving.reconciler import Phase
from protos.tailorbird.control.v1.solution_pb2 import CreateSolutionRequest
from tests.control_plane.messages import campaign_config, recommender_config
from tests.control_plane.sqlite import sqlite_url

ACCOUNT = DEFAULT_ACCOUNT
MOST_VIEWED = "arn:aws:personalize:::recipe/aws-ecomm-popular-items-by-views"
POPULARITY = "arn:aws:personalize:::recipe/aws-popularity-count"
PERSONALIZATION = "arn:aws:personalize:::recipe/aws-user-personalization-v2"
#: Storage is maintained, and snapshots of features are made, where a test wants it only: their jobs would come between
#: those of others.
NEVER_HOURS = 100_000
TIMING = Timing(
    lease_seconds=60, retry_seconds=5, runtime_liveness_seconds=30, sweep_seconds=3600, max_waiting=4,
    storage_maintenance_hours=NEVER_HOURS, max_feature_snapshots=0,
)  # fmt: skip
MANY = Quotas(**{quota.name: 10_000 for quota in fields(Quotas)})
EVERYTHING = PageRequest()


def avro(name: str, *fields: dict[str, object]) -> str:
    return json.dumps({"type": "record", "name": name, "fields": list(fields), "version": "1.0"})


def column(name: str, kind: object = "string", **flags: bool) -> dict[str, object]:
    return {"name": name, "type": kind, **flags}


INTERACTIONS = avro(
    "Interactions", column("USER_ID"), column("ITEM_ID"), column("TIMESTAMP", "long"), column("EVENT_TYPE")
)
ITEMS = avro("Items", column("ITEM_ID"), column("GENRES", ["null", "string"], categorical=True))


class InAccount:
    """Operations of which each call is a unit of work of its own, in one account."""

    def __init__(self, operations, metadata_store: SqlMetadataStore, account: str) -> None:
        self._operations, self._metadata_store, self._account = operations, metadata_store, account

    def __getattr__(self, name: str):
        operation = getattr(self._operations, name)
        return lambda *arguments, **named: self._metadata_store.transact(
            lambda unit: operation(unit, *arguments, **named), account=self._account
        )


@dataclass
class World:
    """One control plane, called as its servicers call it."""

    metadata_store: SqlMetadataStore
    clock: ManualClock
    app_context: AppContext
    plane: ControlPlane
    numbers: itertools.count = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.resources = self.resources_of(ACCOUNT)
        evaluations = self.plane.services[1].servicer._evaluations
        self.evaluations = InAccount(evaluations, self.metadata_store, ACCOUNT)
        self.queue = self.plane.queue
        self.assignment_service = self.plane.assignment_service

    def resources_of(self, account: str) -> SimpleNamespace:
        """Return the operations on each kind of resource, as an account's callers use them."""
        resources = self.plane.services[0].servicer._resources
        return SimpleNamespace(
            **{
                kind.name: InAccount(getattr(resources, kind.name), self.metadata_store, account)
                for kind in fields(resources)
            }
        )

    def name(self, word: str) -> str:
        return f"{word}-{next(self.numbers)}"

    def group(self, domain: str | None = None) -> str:
        return self.resources.dataset_groups.create(self.name("group"), domain=domain).arn

    def dataset(self, group: str, kind: str = "Interactions", schema: str = INTERACTIONS) -> str:
        domain = self.resources.dataset_groups.describe(group).domain
        made = self.resources.schemas.create(self.name("schema"), schema, domain=domain)
        return self.resources.datasets.create(
            self.name("dataset"), schema_arn=made.arn, dataset_group_arn=group, dataset_type=kind
        ).arn

    def import_job(self, dataset: str) -> str:
        return self.resources.imports.create(
            self.name("import"), dataset_arn=dataset, data_location="s3://bucket/interactions.csv"
        ).arn

    def imported_group(self, domain: str | None = None) -> str:
        group = self.group(domain)
        self.import_job(self.dataset(group))
        self.finish_next({"imported_rows": 5000, "files": 1})
        return group

    def solution(self, group: str, recipe: str | None = POPULARITY, **more: object) -> str:
        """Create a solution, which is trained on request only unless `more` says something else."""
        request = CreateSolutionRequest(
            **{
                "name": self.name("solution"),
                "dataset_group_arn": group,
                "recipe_arn": recipe,
                "perform_auto_training": False,
                **more,
            }
        )
        return self.resources.solutions.create(request).arn

    def version(self, solution: str) -> str:
        return self.resources.versions.create(solution).arn

    def active_version(self) -> str:
        version = self.version(self.solution(self.imported_group()))
        self.finish_next({"training_hours": 0.01, "metrics": {"coverage": 0.5}})
        return version

    def campaign(self, version: str, *, config: dict[str, object] | None = None, **arguments: object) -> str:
        if config is not None:
            arguments["campaign_config"] = campaign_config(config)
        return self.resources.campaigns.create(self.name("campaign"), solution_version_arn=version, **arguments).arn

    def status(self, campaign: str) -> str:
        return self.resources.campaigns.describe(campaign).campaign.status

    def latest_update(self, campaign: str) -> Deployment | None:
        return self.resources.campaigns.describe(campaign).latest_update

    def next_version(self, campaign: str) -> str:
        """Train one more version of a campaign's solution."""
        self.clock.advance(seconds=1)
        version = self.version(self.resources.campaigns.describe(campaign).campaign.solution_arn)
        self.finish_next({"metrics": {}})
        return version

    def active_campaign(self) -> str:
        campaign = self.campaign(self.active_version())
        self.serve("worker")
        return campaign

    def recommender(self, group: str, recipe: str = MOST_VIEWED, **config: object) -> str:
        return self.resources.recommenders.create(
            self.name("recommender"),
            dataset_group_arn=group,
            recipe_arn=recipe,
            recommender_config=recommender_config(config),
        ).arn

    def active_recommender(self, **config: object) -> str:
        recommender = self.recommender(self.imported_group("ECOMMERCE"), **config)
        self.finish_next({"metrics": {"coverage": 0.5}})
        self.serve("worker")
        return recommender

    def update_recommender(self, recommender: str, **config: object) -> None:
        self.resources.recommenders.update(recommender, recommender_config=recommender_config(config))

    def recommender_status(self, recommender: str) -> str:
        return self.resources.recommenders.describe(recommender).recommender.status

    def lease(self, worker: str = "trainer-1", *kinds: JobKind) -> Lease | None:
        return self.queue.lease(worker, kinds)

    def finish_next(self, result: dict[str, object]) -> None:
        lease = self.lease()
        assert lease is not None
        self.complete(lease, result)

    def complete(self, lease: Lease, result: dict[str, object]) -> None:
        """End a leased job with a result, which is keyed like the contract's message."""
        kind = JobKind(lease.job.kind)
        message = json_format.ParseDict(result, JOBS[kind].result())
        self.queue.complete(lease.job.id, lease.token, kind=kind, result=message)

    def watch(self, worker: str, known_revision: int | None = None) -> int:
        return asyncio.run(self.assignment_service.watch(worker, known_revision, wait_seconds=0)).revision

    def assigned(self, worker: str = "observer") -> dict[str, object]:
        assignment_set = asyncio.run(self.assignment_service.watch(worker, None, wait_seconds=0))
        return {item.serving_arn: item for item in assignment_set.assignments}

    def serve(self, worker: str, phase: Phase = Phase.READY, reason: str | None = None) -> None:
        """Let a worker take the present set and report this phase for all of it."""
        assignment_set = asyncio.run(self.assignment_service.watch(worker, None, wait_seconds=0))
        self.watch(worker, assignment_set.revision)
        self.assignment_service.report(
            worker, [ReportedState(item.deployment_id, phase, reason) for item in assignment_set.assignments]
        )

    def sweep(self) -> None:
        self.plane.maintenance.sweep()


def make_world(
    folder: Path,
    *,
    url: str | None = None,
    clock: ManualClock | None = None,
    quotas: Quotas = MANY,
    timing: Timing = TIMING,
    **options: object,
) -> World:
    """Make a control plane on the database of this URL; without one, on the SQLite database in the folder."""
    metadata_store = open_metadata_store(url or sqlite_url(folder))
    clock = clock or ManualClock()
    app_context = AppContext(clock, ArnFactory("eu-west-1"), quotas)
    return World(metadata_store, clock, app_context, assemble(metadata_store, app_context, timing, **options))
