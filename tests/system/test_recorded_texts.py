"""Texts of errors that were recorded from Personalize, which scripts and people look for: each word for word."""

from __future__ import annotations

import pytest

from common.errors import TailorbirdError
from control_plane.domain.quotas import Quotas
from tests.control_plane.world import ACCOUNT, make_world
from tests.trainer.place import Place
from trainer.domain.data_requirements import check_event_types, check_sufficient, describe_filters

ARN = f"arn:aws:personalize:eu-west-1:{ACCOUNT}"
FEW = Quotas(pending_imports=1, pending_solution_versions=1, campaigns_per_group=1)
MISSING = f"{ARN}:dataset-group/films"


@pytest.fixture
def world(tmp_path):
    made = make_world(tmp_path, quotas=FEW)
    yield made
    made.metadata_store.close()


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "data")


def text_of(call, *arguments, **options):
    with pytest.raises(TailorbirdError) as caught:
        call(*arguments, **options)
    return caught.value.message


def two_imports(world):
    dataset = world.dataset(world.group())
    world.import_job(dataset)
    world.import_job(dataset)


def two_trainings(world):
    solution = world.solution(world.imported_group())
    world.version(solution)
    world.version(solution)


def two_campaigns(world):
    version = world.active_version()
    world.campaign(version)
    world.campaign(version)


def two_groups_of_one_name(world):
    world.resources.dataset_groups.create("films")
    world.resources.dataset_groups.create("films")


BY_TYPE = describe_filters(event_type="Purchase", threshold=None)
OF_THE_CONTROL_PLANE = [
    (f"Another resource with Arn {MISSING} already exists.", two_groups_of_one_name),
    ("More than 1 resources with PENDING or IN_PROGRESS status.", two_imports),
    ("More than 1 resources with PENDING or IN_PROGRESS status.", two_trainings),
    (
        "Cannot create a campaign. More than 1 resources in ACTIVE state. Please delete some and try again.",
        two_campaigns,
    ),
]
OF_LOOKS = [
    ("dataset-group/x", lambda resources: resources.dataset_groups.describe),
    ("dataset-group/x", lambda resources: resources.dataset_groups.delete),
    ("schema/x", lambda resources: resources.schemas.describe),
    ("schema/x", lambda resources: resources.schemas.delete),
    ("dataset/x/ITEMS", lambda resources: resources.datasets.describe),
    ("dataset/x/ITEMS", lambda resources: resources.datasets.delete),
    ("dataset-import-job/x", lambda resources: resources.imports.describe),
    ("solution/x", lambda resources: resources.solutions.describe),
    ("solution/x", lambda resources: resources.solutions.delete),
    ("solution/x", lambda resources: resources.versions.create),
    ("solution/x/12345678", lambda resources: resources.versions.describe),
    ("solution/x/12345678", lambda resources: resources.versions.stop),
    ("solution/x/12345678", lambda resources: resources.versions.metrics),
    ("campaign/x", lambda resources: resources.campaigns.describe),
    ("campaign/x", lambda resources: resources.campaigns.delete),
    ("event-tracker/x", lambda resources: resources.trackers.describe),
    ("event-tracker/x", lambda resources: resources.trackers.delete),
    ("campaign/x", lambda resources: resources.tags.list),
]
OF_IMPORTS = [
    ("Failed to create a data import job for Users dataset. Invalid Data location.", "s3://films/none.csv", None),
    (
        "Failed to create a data import job for Users dataset. Input CSV is missing the following columns:[USER_ID].",
        "s3://films/users.csv",
        ("AGE", "5"),
    ),
    (
        "Length cannot be more than 256 characters for USER_ID. If no values exceed the character limit, make sure",
        "s3://films/users.csv",
        ("USER_ID,AGE", "u" * 257 + ",5"),
    ),
]
OF_TRAININGS = [
    (
        "Create failed. Dataset has fewer than 25 users with at least 2 interactions each.",
        lambda: check_sufficient(interactions=1000, users=500, users_with_two=24, filters=""),
    ),
    (
        "Dataset has fewer than 1000 interactions after filtering by event type: Purchase",
        lambda: check_sufficient(interactions=999, users=500, users_with_two=400, filters=BY_TYPE),
    ),
    (
        "All values in the event_type column are either reserved keywords or null",
        lambda: check_event_types([], chosen=["watch"]),
    ),
]


@pytest.mark.parametrize(("text", "provoke"), OF_THE_CONTROL_PLANE)
def test_the_control_plane_says_what_personalize_says(world, text, provoke):
    assert text_of(provoke, world).startswith(text)


@pytest.mark.parametrize(("name", "look"), OF_LOOKS)
def test_what_does_not_exist_is_told_in_the_same_words_everywhere(world, name, look):
    assert text_of(look(world.resources), f"{ARN}:{name}") == f"Resource Arn {ARN}:{name} does not exist."


def test_a_recipe_that_does_not_exist_is_told_in_the_same_words(world):
    arn = "arn:aws:personalize:::recipe/aws-films"

    assert text_of(world.solution, world.group(), arn).startswith(f"Resource Arn {arn} does not exist.")


@pytest.mark.parametrize(("text", "location", "lines"), OF_IMPORTS)
def test_imports_say_what_personalize_says(place, text, location, lines):
    if lines is not None:
        place.write("users.csv", *lines[1:], header=lines[0])

    assert text in text_of(place.bring, location, kind="USERS")


@pytest.mark.parametrize(("text", "provoke"), OF_TRAININGS)
def test_trainings_say_what_personalize_says(text, provoke):
    assert text in text_of(provoke)
