"""All lists of the control plane through boto3: page by page, while resources are created and deleted in between."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from control_plane.domain.jobs import JobKind
from control_plane.servicers.control.servicer import CONTROL_PLANE_SERVICE
from tests.control_plane.through_boto3 import personalize_of
from tests.control_plane.world import INTERACTIONS, POPULARITY, make_world

OTHER_ACCOUNT = "222222222222"
MOST_POPULAR = "arn:aws:personalize:::recipe/aws-vod-most-popular"
SEGMENTS = "arn:aws:personalize:::recipe/aws-item-affinity"
ROLE = "arn:aws:iam::000000000000:role/Personalize"
WATCHED = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")'
BATCH = {
    "roleArn": ROLE,
    "jobInput": {"s3DataSource": {"path": "s3://bucket/in.jsonl"}},
    "jobOutput": {"s3DataDestination": {"path": "s3://bucket/out/"}},
}

OPERATIONS = [
    "list_batch_inference_jobs", "list_batch_segment_jobs", "list_campaigns", "list_data_deletion_jobs",
    "list_dataset_export_jobs", "list_dataset_groups", "list_dataset_import_jobs", "list_datasets",
    "list_event_trackers", "list_filters", "list_metric_attribution_metrics", "list_metric_attributions",
    "list_recipes", "list_recommenders", "list_schemas", "list_solution_versions", "list_solutions",
]  # fmt: skip


@dataclass(frozen=True)
class Listing:
    """A list operation.

    Attributes:
        operation: Its method in boto3.
        key: Member of its response that holds the entries.
        identity: Member of an entry that tells it from others.
        make: Creates one more entry; None where there are only those that came with the product.
        remove: Removes the entry of an identity at once; None where the API cannot.
        parent: Members of the request that narrow the list to the entries of one resource.
        is_newest_first: Whether new entries are at the beginning.
    """

    operation: str
    key: str
    identity: str
    make: Callable[[], object] | None = None
    remove: Callable[[str], object] | None = None
    parent: dict[str, str] = field(default_factory=dict)
    is_newest_first: bool = False


class Shop:
    """A control plane with data and models, of which more can be made."""

    def __init__(self, folder) -> None:
        self.world = make_world(folder)
        self._names = (f"n-{number:04}" for number in itertools.count())
        self.exit = ExitStack()
        self.client, self.other = self.exit.enter_context(
            personalize_of([None, OTHER_ACCOUNT], self.world.plane, folder)
        )
        self.group = self.world.imported_group()
        self.videos = self.world.imported_group("VIDEO_ON_DEMAND")
        self.dataset = self.client.list_datasets(datasetGroupArn=self.group)["datasets"][0]["datasetArn"]
        self.solution = self.world.solution(self.group, POPULARITY)
        self.version = self._trained(self.solution)
        self.segments = self._trained(self.world.solution(self.group, SEGMENTS))
        self.metrics = self._metric_attribution(self.group)

    def name(self) -> str:
        # Every second one is made in the same moment as the one before.
        name = next(self._names)
        self.world.clock.advance(seconds=int(name[-1]) % 2)
        return name

    def _trained(self, solution: str) -> str:
        version = self.world.version(solution)
        self.world.finish_next({"metrics": {"coverage": 0.5}})
        return version

    def _metric_attribution(self, group: str) -> str:
        return self.client.create_metric_attribution(
            name=self.name(),
            datasetGroupArn=group,
            metrics=[self._metric()],
            metricsOutputConfig={"roleArn": ROLE},
        )["metricAttributionArn"]

    def _metric(self) -> dict[str, str]:
        return {"metricName": self.name(), "eventType": "watch", "expression": "SAMPLECOUNT()"}

    def _other_group(self) -> str:
        group = self.world.group()
        self.world.dataset(group)
        return group

    def _delete_campaign(self, arn: str) -> None:
        self.client.delete_campaign(campaignArn=arn)
        self.world.sweep()

    def _delete_recommender(self, arn: str) -> None:
        self.client.delete_recommender(recommenderArn=arn)
        self.world.sweep()
        # What it was trained to goes before it does.
        lease = self.world.lease("trainer", JobKind.STORAGE_REMOVAL)
        assert lease is not None
        self.world.complete(lease, {})

    def listings(self) -> list[Listing]:
        """Return all lists, with the resources of one kind that are made and removed for each."""
        return [
            *self._lists_of_data(),
            *self._lists_of_models(),
            *self._lists_of_filters_and_metrics(),
            *self._lists_of_jobs(),
            Listing("list_recipes", "recipes", "recipeArn"),
        ]

    def _lists_of_data(self) -> list[Listing]:
        client = self.client
        return [
            Listing(
                "list_dataset_groups",
                "datasetGroups",
                "datasetGroupArn",
                self._named(client.create_dataset_group),
                _removing(client.delete_dataset_group, "datasetGroupArn"),
            ),
            Listing(
                "list_schemas",
                "schemas",
                "schemaArn",
                self._named(client.create_schema, schema=INTERACTIONS),
                _removing(client.delete_schema, "schemaArn"),
            ),
            Listing("list_datasets", "datasets", "datasetArn", self._other_group),
            Listing(
                "list_event_trackers",
                "eventTrackers",
                "eventTrackerArn",
                lambda: client.create_event_tracker(name=self.name(), datasetGroupArn=self.world.group()),
                _removing(client.delete_event_tracker, "eventTrackerArn"),
            ),
        ]

    def _lists_of_models(self) -> list[Listing]:
        client, group, solution = self.client, {"datasetGroupArn": self.group}, {"solutionArn": self.solution}
        videos = {"datasetGroupArn": self.videos}
        return [
            Listing(
                "list_solutions",
                "solutions",
                "solutionArn",
                self._named(client.create_solution, recipeArn=POPULARITY, performAutoTraining=False, **group),
                _removing(client.delete_solution, "solutionArn"),
                parent=group,
            ),
            Listing(
                "list_solution_versions",
                "solutionVersions",
                "solutionVersionArn",
                self._named(client.create_solution_version, **solution),
                parent=solution,
            ),
            Listing(
                "list_campaigns",
                "campaigns",
                "campaignArn",
                self._named(client.create_campaign, solutionVersionArn=self.version),
                self._delete_campaign,
                parent=solution,
            ),
            Listing(
                "list_recommenders",
                "recommenders",
                "recommenderArn",
                self._named(client.create_recommender, recipeArn=MOST_POPULAR, **videos),
                self._delete_recommender,
                parent=videos,
            ),
        ]

    def _lists_of_filters_and_metrics(self) -> list[Listing]:
        client, group = self.client, {"datasetGroupArn": self.group}
        metrics = {"metricAttributionArn": self.metrics}
        return [
            Listing(
                "list_filters",
                "Filters",
                "filterArn",
                self._named(client.create_filter, filterExpression=WATCHED, **group),
                _removing(client.delete_filter, "filterArn"),
                parent=group,
            ),
            Listing(
                "list_metric_attributions",
                "metricAttributions",
                "metricAttributionArn",
                lambda: self._metric_attribution(self._other_group()),
                _removing(client.delete_metric_attribution, "metricAttributionArn"),
            ),
            Listing(
                "list_metric_attribution_metrics",
                "metrics",
                "metricName",
                lambda: client.update_metric_attribution(addMetrics=[self._metric()], **metrics),
                lambda name: client.update_metric_attribution(removeMetrics=[name], **metrics),
                parent=metrics,
            ),
        ]

    def _lists_of_jobs(self) -> list[Listing]:
        client, group, dataset = self.client, {"datasetGroupArn": self.group}, {"datasetArn": self.dataset}
        films, users = ({"dataLocation": f"s3://bucket/{name}.csv"} for name in ("films", "users"))
        output = {"s3DataDestination": {"path": "s3://bucket/out/"}}
        version, segments = {"solutionVersionArn": self.version}, {"solutionVersionArn": self.segments}
        return [
            Listing(
                "list_dataset_import_jobs",
                "datasetImportJobs",
                "datasetImportJobArn",
                self._job(client.create_dataset_import_job, dataSource=films, roleArn=ROLE, **dataset),
                parent=dataset,
            ),
            Listing(
                "list_dataset_export_jobs",
                "datasetExportJobs",
                "datasetExportJobArn",
                self._job(client.create_dataset_export_job, jobOutput=output, roleArn=ROLE, **dataset),
                parent=dataset,
            ),
            Listing(
                "list_data_deletion_jobs",
                "dataDeletionJobs",
                "dataDeletionJobArn",
                self._job(client.create_data_deletion_job, dataSource=users, roleArn=ROLE, **group),
                parent=group,
                is_newest_first=True,
            ),
            Listing(
                "list_batch_inference_jobs",
                "batchInferenceJobs",
                "batchInferenceJobArn",
                self._job(client.create_batch_inference_job, **version, **BATCH),
                parent=version,
            ),
            Listing(
                "list_batch_segment_jobs",
                "batchSegmentJobs",
                "batchSegmentJobArn",
                self._job(client.create_batch_segment_job, **segments, **BATCH),
                parent=segments,
            ),
        ]

    def _named(self, create: Callable[..., object], **members: object) -> Callable[[], object]:
        return lambda: create(name=self.name(), **members)

    def _job(self, create: Callable[..., object], **members: object) -> Callable[[], object]:
        return lambda: create(jobName=self.name(), **members)


def _removing(delete: Callable[..., object], member: str) -> Callable[[str], object]:
    return lambda arn: delete(**{member: arn})


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    opened = Shop(tmp_path_factory.mktemp("lists"))
    with opened.exit:
        yield opened
    opened.world.metadata_store.close()


@pytest.fixture(scope="module")
def listings(shop):
    return {listing.operation: listing for listing in shop.listings()}


def pages(client, listing: Listing, size: int):
    """Give the identities of each page, by boto3's paginator where it has one."""
    if client.can_paginate(listing.operation):
        paginator = client.get_paginator(listing.operation)
        responses = paginator.paginate(PaginationConfig={"PageSize": size}, **listing.parent)
    else:
        responses = by_tokens(client, listing, size)
    for response in responses:
        yield [entry[listing.identity] for entry in response[listing.key]]


def by_tokens(client, listing: Listing, size: int):
    request = {"maxResults": size, **listing.parent}
    while True:
        response = getattr(client, listing.operation)(**request)
        yield response
        if "nextToken" not in response:
            return
        request["nextToken"] = response["nextToken"]


def entries(client, listing: Listing) -> list[dict[str, Any]]:
    return getattr(client, listing.operation)(maxResults=100, **listing.parent)[listing.key]


def identities(client, listing: Listing) -> list[str]:
    return [entry[listing.identity] for entry in entries(client, listing)]


@contextmanager
def made(client, listing: Listing, number: int):
    """Make entries and give their identities, as they are listed; those that are left go at the end."""
    before = set(identities(client, listing))
    for _ in range(number if listing.make is not None else 0):
        listing.make()
    yield [identity for identity in identities(client, listing) if identity not in before]
    if listing.remove is not None:
        for identity in set(identities(client, listing)) - before:
            listing.remove(identity)


def token(client, listing: Listing) -> str:
    return getattr(client, listing.operation)(maxResults=1, **listing.parent)["nextToken"]


def error_of(client, listing: Listing, next_token: str) -> str:
    with pytest.raises(ClientError) as caught:
        getattr(client, listing.operation)(nextToken=next_token, **listing.parent)
    return caught.value.response["Error"]["Code"]


def test_every_list_operation_is_tested_and_boto3_paginates_all_but_one(shop, listings):
    lists = {name for name in CONTROL_PLANE_SERVICE.methods_by_name if name.startswith("List")}
    methods = {name: shop.client.meta.method_to_api_mapping[name] for name in listings}

    assert set(methods.values()) == lists - {"ListTagsForResource"}
    assert [name for name in listings if not shop.client.can_paginate(name)] == ["list_data_deletion_jobs"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_entries_are_in_the_order_of_their_creation(shop, listings, operation):
    listing = listings[operation]

    with made(shop.client, listing, 5):
        listed = entries(shop.client, listing)

    # Metrics have no time of their own, and are ordered by name. Times are shown in milliseconds, and kept in less.
    places = [entry.get("creationDateTime", entry[listing.identity]) for entry in listed]
    assert len(places) >= 5
    assert places == sorted(places, reverse=listing.is_newest_first)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_pages_are_complete_and_repeat_nothing_while_entries_come_and_go(shop, listings, operation, size):
    listing, listed = listings[operation], []

    with made(shop.client, listing, 5) as new:
        expected = identities(shop.client, listing)
        for page in pages(shop.client, listing, size):
            assert len(page) <= size
            listed += page
            if new and new[0] in page:
                before = set(identities(shop.client, listing))
                shop.world.clock.advance(seconds=1)
                listing.make()
                created = set(identities(shop.client, listing)) - before
                expected = expected if listing.is_newest_first else [*expected, *created]
                if listing.remove is not None:
                    # One that was listed, and one that was not yet.
                    listing.remove(new[0])
                    listing.remove(new[-1])
                    expected = [identity for identity in expected if identity != new[-1]]

    assert listed == expected


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_token_continues_its_own_list_and_is_valid_unaltered_only(shop, listings, operation):
    listing = listings[operation]
    another = listings["list_schemas" if operation != "list_schemas" else "list_dataset_groups"]

    with made(shop.client, listing, 2), made(shop.client, another, 2):
        next_token = token(shop.client, listing)
        altered = next_token[:20] + ("A" if next_token[20] != "A" else "B") + next_token[21:]
        texts = (altered, next_token[:-4], token(shop.client, another), "nonsense")
        codes = [error_of(shop.client, listing, text) for text in texts]

    assert set(codes) == {"InvalidNextTokenException"}


@pytest.mark.parametrize("operation", sorted(set(OPERATIONS) - {"list_recipes", "list_metric_attribution_metrics"}))
def test_a_token_of_another_account_is_not_valid(shop, listings, operation):
    listing = replace(listings[operation], parent={})

    with made(shop.client, listing, 2):
        assert error_of(shop.other, listing, token(shop.client, listing)) == "InvalidNextTokenException"


def test_the_metrics_of_another_account_do_not_exist(shop, listings):
    listing = listings["list_metric_attribution_metrics"]

    with made(shop.client, listing, 2):
        assert error_of(shop.other, listing, token(shop.client, listing)) == "ResourceNotFoundException"
