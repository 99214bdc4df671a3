"""Features in a whole system: imported, put, deleted; what snapshots have, and what runtimes answer from them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import timedelta

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError

from benchmarks.system import running_system
from cli.demo.generated import generate
from cli.demo.items import SCHEMAS
from cli.demo.journey import ROLE_ARN, Journey
from common.event_offsets import OFFSET_KEY, WAIT_KEY
from common.features import open_snapshot
from common.rpc.channels import channel
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.testing import wait_until
from gateway.protocol import MODELS
from protos.tailorbird.internal.v1.serving_pb2 import WatchServingAssignmentsRequest
from protos.tailorbird.internal.v1.serving_pb2_grpc import ServingServiceStub
from runtime_service.history.lmdb import LmdbHistoryReader

FILTER = (
    "INCLUDE ItemID WHERE Items.GENRES IN ($GENRES) AND Items.YEAR >= $YEAR"
    ' | EXCLUDE ItemID WHERE Items.GENRES IN ("Adult") IF CurrentUser.AGE < 18'
)
UNSEEN = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("WATCH", "click")'
CHILD = {"age": 7, "gender": "F", "occupation": "student"}
#: What is acknowledged is to be seen within a second; machines that run tests may be slow.
SOON = 10.0


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with running_system(
        tmp_path_factory.mktemp("features"),
        settings={"TAILORBIRD_FEATURE_SNAPSHOT_SECONDS": "1"},
    ) as running:
        yield running


def answered(journey, campaign, filter_arn, user, *, genres, year=0, **members):
    """Return the metadata of what is recommended, by item, in its order."""
    answer = journey.clients.runtime.get_recommendations(
        campaignArn=campaign,
        userId=user,
        numResults=50,
        filterArn=filter_arn,
        filterValues={"GENRES": ",".join(f'"{genre}"' for genre in genres), "YEAR": str(year)},
        metadataColumns={"ITEMS": ["TITLE", "GENRES", "year"]},
        **members,
    )
    return {entry["itemId"]: entry["metadata"] for entry in answer["itemList"]}


def served(system, data):
    """Import, train and deploy; return the journey, the campaign and the filters of items and of interactions."""
    journey = Journey(system.clients(), suffix="features")
    personalize = journey.clients.personalize
    journey.create_datasets({kind: SCHEMAS[kind] for kind in ("Interactions", "Items", "Users")})
    files = data.write_csv(system.installation.buckets / "films")
    journey.import_csv({kind: f"s3://films/{file.name}" for kind, file in files.items()})
    version = journey.train(journey.create_solution("popular", "aws-popularity-count"))
    filter_arn, unseen = (
        personalize.create_filter(name=name, datasetGroupArn=journey.dataset_group_arn, filterExpression=text)[
            "filterArn"
        ]
        for name, text in (("for-grown-ups", FILTER), ("unseen", UNSEEN))
    )
    campaign = personalize.create_campaign(
        name="popular", solutionVersionArn=version, campaignConfig={"enableMetadataWithRecommendations": True}
    )["campaignArn"]
    journey.wait("campaign", lambda: personalize.describe_campaign(campaignArn=campaign)["campaign"])
    for arn in (filter_arn, unseen):
        journey.wait("filter", lambda arn=arn: personalize.describe_filter(filterArn=arn)["filter"])
    return journey, campaign, filter_arn, unseen


def features_location(stub, kind="ITEMS"):
    """Return the location of a snapshot that runtimes are told."""
    request = WatchServingAssignmentsRequest(runtime_id="observer", wait_seconds=0)
    groups = stub.WatchServingAssignments(request).dataset_groups
    return next(
        (item.features_location for group in groups for item in group.datasets if item.dataset_type == kind), ""
    )


def put(journey, item, **properties):
    entry = {"itemId": item, "properties": json.dumps(properties)}
    journey.clients.events.put_items(datasetArn=journey.datasets["Items"], items=[entry])


def shown(data, item, genres):
    """Return the metadata that belong to an item."""
    year = data.items[item].year
    return {"TITLE": data.items[item].title, "GENRES": genres, "year": "" if year is None else str(year)}


def assert_events_are_filtered_by(journey, campaign, filter_arn, user, data):
    """Check that what a user did is left out: what was imported, whatever it is called, and what is put."""

    def unseen():
        # Several times, so that each worker answers.
        responses = [
            journey.clients.runtime.get_recommendations(
                campaignArn=campaign, userId=user, numResults=50, filterArn=filter_arn
            )
            for _ in range(4)
        ]
        lists = [[entry["itemId"] for entry in answer["itemList"]] for answer in responses]
        return set(lists[0]) if all(listed == lists[0] for listed in lists) else None

    watched = {watch.item for watch in data.interactions if watch.user == user}
    left = wait_until(unseen, seconds=SOON)
    assert left == {item for item in data.items if data.popularity[item]} - watched
    tracking_id, clicked = journey.create_event_tracker(), min(left)
    journey.put_events(tracking_id, user, [clicked], event_type="Click")
    wait_until(lambda: unseen() == left - {clicked}, seconds=SOON)


def promoted(journey, campaign, filter_arn, user):
    """Return the items that are in a list as promoted ones."""
    promotion = {
        "name": "silent",
        "percentPromotedItems": 100,
        "filterArn": filter_arn,
        "filterValues": {"GENRES": '"Silent"', "YEAR": "0"},
    }
    answer = journey.clients.runtime.get_recommendations(
        campaignArn=campaign, userId=user, numResults=4, promotions=[promotion]
    )
    return [entry["itemId"] for entry in answer["itemList"] if entry.get("promotionName") == "silent"]


def wait_until_no_puts_are_kept(system, group_arn):
    """Wait until the runtime's store of puts keeps nothing that the snapshots have."""
    reader = LmdbHistoryReader(system.installation.root / "runtime" / "history", name="observer")

    def kept_puts():
        return [put for kind in ("ITEMS", "USERS") for put in reader.puts(group_arn, kind, after=0, limit=9)]

    wait_until(lambda: not kept_puts(), seconds=90, every=0.5)
    reader.close()


def test_what_was_imported_and_put_is_told_filtered_by_and_shown(system, tmp_path):
    data = generate(users=60, genres=3, series=3)
    journey, campaign, filter_arn, unseen = served(system, data)
    events = journey.clients.events
    store = open_store(StoreSettings(store_url=str(system.installation.store)))
    token = system.installation.keys.issuer().issue("runtime", subject="observer", lifetime=timedelta(hours=1))

    def seen(user, *genres, **members):
        # Several times, so that each worker answers.
        listed = [answered(journey, campaign, filter_arn, user, genres=genres, **members) for _ in range(4)]
        return listed[0] if all(answer == listed[0] for answer in listed) else None

    # What was imported, from the snapshot.
    grown_up, child = "user-0001", "user-0002"
    genre, other = sorted({genre for item in data.items.values() for genre in item.genres})[:2]
    of_genre = {item for item, film in data.items.items() if genre in film.genres and film.year >= 2000}
    chosen = {item for item in of_genre if data.popularity[item]}
    everything = wait_until(lambda: succeeded(seen, grown_up, genre, year=2000), seconds=60, every=0.2)
    assert everything == {item: shown(data, item, genre) for item in chosen}
    assert seen(child, genre, year=2000) == everything
    with pytest.raises(ClientError, match="GENRES"):
        journey.clients.runtime.get_recommendations(campaignArn=campaign, userId=child, filterArn=filter_arn)

    assert_events_are_filtered_by(journey, campaign, unseen, grown_up, data)
    with channel(system.ports.address("control_plane"), token=token) as control_plane:
        stub = ServingServiceStub(control_plane)
        imported, imported_users = features_location(stub), features_location(stub, "USERS")
        snapshot = open_snapshot(store, imported, cache=tmp_path / "cache")
        assert set(snapshot.ids.ids(range(snapshot.n_rows))) == set(data.items)

        # What is put is seen at once: another value, a category that there was not, an item that the model lacks.
        first, second = sorted(chosen)[:2]
        for item, genres in ((first, f"{other}|Silent"), (second, "Silent|Adult")):
            put(journey, item, title=data.items[item].title, genres=genres, year=data.items[item].year)
        put(journey, "film-of-tomorrow", title="Tomorrow", genres="Silent", year=2030)
        acknowledged = events.put_users(
            datasetArn=journey.datasets["Users"], users=[{"userId": child, "properties": json.dumps(CHILD)}]
        )["ResponseMetadata"]["HTTPHeaders"][OFFSET_KEY]
        silent = {first: shown(data, first, f"{other}|Silent"), second: shown(data, second, "Silent|Adult")}

        def is_as_put():
            return (
                seen(grown_up, "Silent") == silent
                and seen(child, "Silent") == {first: silent[first]}
                and seen(grown_up, genre, year=2000).keys() == chosen - {first, second}
            )

        # Whoever waits for the offset of an acknowledgement gets no answer from before, whichever worker it is from.
        with waiting_for(journey.clients.runtime, acknowledged):
            assert wait_until(lambda: in_time(seen, child, "Silent"), seconds=SOON) == {first: silent[first]}
        wait_until(is_as_put, seconds=SOON)

        # It is the same from the next snapshots, and the store of puts keeps nothing that they have.
        wait_until(lambda: imported != features_location(stub), seconds=60, every=0.2)
        wait_until(lambda: imported_users != features_location(stub, "USERS"), seconds=60, every=0.2)
        snapshot = open_snapshot(store, features_location(stub), cache=tmp_path / "cache")
        row = snapshot.ids.index("film-of-tomorrow")
        assert row is not None
        assert snapshot.n_rows == len(data.items) + 1
        assert snapshot.text(row, "GENRES") == "Silent"
        wait_until_no_puts_are_kept(system, journey.dataset_group_arn)
        assert is_as_put()

    assert promoted(journey, campaign, filter_arn, child) == [first]
    assert_answers_are_explained(system, campaign, child)

    # Of deleted users nothing is known.
    delete_user(journey, system.installation.buckets, child)
    wait_until(lambda: seen(child, "Silent") == silent, seconds=SOON)


def assert_answers_are_explained(system, campaign, user):
    """Ask for recommendations, and then why they are what they are, by a client that has the additional model."""
    key, session = system.installation.access_keys().create("explaining"), botocore.session.Session()
    session.set_config_variable("data_path", str(MODELS))
    client = boto3.session.Session(botocore_session=session).client(
        "personalize-runtime",
        endpoint_url=system.ports.endpoint,
        region_name="us-east-1",
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
    )
    # Several times, so that a worker explains what another one has answered.
    for _ in range(4):
        answer = client.get_recommendations(campaignArn=campaign, userId=user, numResults=5)
        explanation = client.explain_recommendations(
            campaignArn=campaign, recommendationId=answer["recommendationId"], explainedIds=["film-of-tomorrow"]
        )
        assert [entry["itemId"] for entry in explanation["items"]] == [entry["itemId"] for entry in answer["itemList"]]
        assert explanation["exact"]
        assert explanation["earlierAnswer"]["modelChanged"] is False
        assert "solution/popular" in explanation["model"]["solutionVersionArn"]
        assert [entry["itemId"] for entry in explanation["otherItems"]] == ["film-of-tomorrow"]
    client.close()


@contextmanager
def waiting_for(client, offset):
    """Let the calls of a client wait for an offset."""

    def want(params, **_):
        params["headers"][WAIT_KEY] = offset

    client.meta.events.register("before-call", want)
    yield
    client.meta.events.unregister("before-call", want)


def in_time(call, *arguments):
    """Return an answer; None where what it was to include was not read in time."""
    try:
        return call(*arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != "RequestTimeoutException":
            raise
        return None


def succeeded(call, *arguments, **members):
    try:
        return call(*arguments, **members)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return None


def delete_user(journey, buckets, user):
    personalize = journey.clients.personalize
    (buckets / "gone").mkdir()
    (buckets / "gone" / "users.csv").write_text(f"USER_ID\n{user}\n")
    arn = personalize.create_data_deletion_job(
        jobName="gone",
        datasetGroupArn=journey.dataset_group_arn,
        dataSource={"dataLocation": "s3://gone/"},
        roleArn=ROLE_ARN,
    )["dataDeletionJobArn"]

    def describe():
        job = personalize.describe_data_deletion_job(dataDeletionJobArn=arn)["dataDeletionJob"]
        return {**job, "status": "ACTIVE" if job["status"] == "COMPLETED" else job["status"]}

    journey.wait("deletion", describe)
