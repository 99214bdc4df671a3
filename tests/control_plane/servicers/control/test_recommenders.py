"""Recommenders through boto3, from their creation to their deletion."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.aws_shapes import responses_checked
from tests.control_plane.through_boto3 import personalize
from tests.control_plane.world import MOST_VIEWED, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = make_world(tmp_path_factory.mktemp("recommenders"))
    yield made
    made.metadata_store.close()


@pytest.fixture(scope="module")
def client(world, tmp_path_factory):
    with personalize(world.plane, tmp_path_factory.mktemp("keys")) as made, responses_checked(made):
        yield made


def test_a_recommender_lives_through_all_of_its_states(world, client):
    group = world.imported_group("ECOMMERCE")
    config = {
        "minRecommendationRequestsPerSecond": 2,
        "trainingDataConfig": {"excludedDatasetColumns": {}},
    }
    arn = client.create_recommender(
        name="views", datasetGroupArn=group, recipeArn=MOST_VIEWED, recommenderConfig=config
    )["recommenderArn"]

    def described():
        return client.describe_recommender(recommenderArn=arn)["recommender"]

    assert arn.endswith(":recommender/views")
    assert described()["recommenderConfig"] == config
    world.finish_next({"metrics": {"coverage": 0.5}})
    world.serve("worker")
    shown = described()
    assert (shown["status"], shown["modelMetrics"], shown["recipeArn"]) == ("ACTIVE", {"coverage": 0.5}, MOST_VIEWED)
    assert "latestRecommenderUpdate" not in shown

    rate = {"minRecommendationRequestsPerSecond": 5}
    assert client.update_recommender(recommenderArn=arn, recommenderConfig=rate)["recommenderArn"] == arn
    world.serve("worker")
    update = described()["latestRecommenderUpdate"]
    assert (update["status"], update["recommenderConfig"]) == ("ACTIVE", {**config, **rate})

    assert client.stop_recommender(recommenderArn=arn)["recommenderArn"] == arn
    world.serve("worker")
    world.sweep()
    assert described()["status"] == "INACTIVE"
    (entry,) = client.list_recommenders(datasetGroupArn=group)["recommenders"]
    assert (entry["name"], entry["status"], entry["recommenderConfig"]) == ("views", "INACTIVE", {**config, **rate})
    assert client.start_recommender(recommenderArn=arn)["recommenderArn"] == arn
    world.serve("worker")
    assert described()["status"] == "ACTIVE"

    client.delete_recommender(recommenderArn=arn)
    world.serve("worker")
    world.sweep()
    assert described()["status"] == "DELETE IN_PROGRESS"
    world.finish_next({})
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        described()
    assert client.list_recommenders(datasetGroupArn=group)["recommenders"] == []


def test_a_failed_training_is_shown_with_its_reason(world, client):
    arn = client.create_recommender(
        name="few", datasetGroupArn=world.imported_group("ECOMMERCE"), recipeArn=MOST_VIEWED
    )["recommenderArn"]
    lease = world.lease()
    world.queue.fail(lease.job.id, lease.token, reason="Create failed. Too few.", retryable=False)

    shown = client.describe_recommender(recommenderArn=arn)["recommender"]

    assert (shown["status"], shown["failureReason"]) == ("CREATE FAILED", "Create failed. Too few.")
    assert shown["recommenderConfig"] == {"minRecommendationRequestsPerSecond": 1}
