"""Recipes that rank given items or relate items, through boto3: trained, measured, served, each by its operation."""

import pytest
from botocore.exceptions import ClientError

from benchmarks.system import running_system
from cli.demo.generated import generate
from cli.demo.items import EVENT, SCHEMAS
from cli.demo.journey import Journey
from common.testing import wait_until
from tests.system.test_lifecycle import QUICK, STANDARD_METRICS

USER = "user-0001"


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with running_system(tmp_path_factory.mktemp("recipes")) as running:
        yield running


@pytest.fixture(scope="module")
def data(system):
    return generate(users=150, genres=4, series=4)


@pytest.fixture(scope="module")
def journey(system, data):
    journey = Journey(system.clients(), suffix="recipes")
    journey.create_datasets(SCHEMAS)
    files = data.write_csv(system.installation.buckets / "films")
    journey.import_csv({kind: f"s3://films/{path.name}" for kind, path in files.items()})
    return journey


@pytest.fixture(scope="module")
def ranking(journey):
    """Give a campaign that ranks."""
    version = journey.train(journey.create_solution("ranked", "aws-personalized-ranking-v2", hyperparameters=QUICK))
    assert set(journey.metrics(version)) == STANDARD_METRICS
    return journey.create_campaign("ranked", version)


def rank(journey, campaign, *items, user=USER):
    answer = journey.clients.runtime.get_personalized_ranking(campaignArn=campaign, inputList=list(items), userId=user)
    assert answer["recommendationId"].startswith("RID-")
    return answer["personalizedRanking"]


def test_given_items_are_ranked_for_each_user_and_anew_after_events(journey, data, ranking):
    films = list(data.items)
    liked, other = data.items[films[0]].genres, films[-1]

    answer = rank(journey, ranking, "film-of-tomorrow", *films)

    assert sorted(entry["itemId"] for entry in answer[:-1]) == sorted(films)
    assert sum(entry["score"] for entry in answer[:-1]) == pytest.approx(1.0, abs=1e-5)
    assert answer[-1] == {"itemId": "film-of-tomorrow"}
    assert answer != rank(journey, ranking, "film-of-tomorrow", *films, user="user-0002")
    assert data.items[other].genres != liked
    journey.put_events(journey.create_event_tracker(), USER, [other], event_type=EVENT)
    wait_until(lambda: rank(journey, ranking, "film-of-tomorrow", *films) != answer, seconds=20)


@pytest.mark.parametrize("recipe", ["aws-sims", "aws-similar-items"])
def test_items_are_related_within_their_genre(journey, data, recipe):
    version = journey.train(journey.create_solution(recipe, recipe))
    campaign = journey.create_campaign(recipe, version)
    film = data.interactions[0].item

    answer = journey.clients.runtime.get_recommendations(campaignArn=campaign, itemId=film, numResults=500)

    assert set(journey.metrics(version)) == STANDARD_METRICS
    related = [entry["itemId"] for entry in answer["itemList"]]
    assert sorted([film, *related]) == sorted(data.items)
    assert all(entry.keys() == {"itemId"} for entry in answer["itemList"])
    assert {data.items[other].genres for other in related[:3]} == {data.items[film].genres}


def test_operation_of_another_recipe_is_named(journey, ranking):
    with pytest.raises(ClientError, match="call GetPersonalizedRanking") as caught:
        journey.clients.runtime.get_recommendations(campaignArn=ranking, userId=USER)

    assert caught.value.response["Error"]["Code"] == "InvalidInputException"
