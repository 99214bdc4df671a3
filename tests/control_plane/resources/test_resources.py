"""What the operations on resources do beyond single fields: parents, uniqueness, quotas, tables, trackers, tags."""

from __future__ import annotations

import json

import pytest

from common.errors import (
    InvalidInput,
    InvalidNextToken,
    LimitExceeded,
    ResourceAlreadyExists,
    ResourceInUse,
    ResourceNotFound,
    TooManyTags,
)
from control_plane.domain.jobs import JobKind
from control_plane.domain.quotas import Quotas
from control_plane.resources.base import PageRequest
from control_plane.resources.solutions import SolutionRequest
from tests.control_plane.world import (
    ACCOUNT,
    EVERYTHING,
    INTERACTIONS,
    ITEMS,
    PERSONALIZATION,
    POPULARITY,
    avro,
    column,
    make_world,
)

ARN = f"arn:aws:personalize:eu-west-1:{ACCOUNT}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Personalize"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1"


def test_arns_are_made_of_names(world):
    group = world.resources.dataset_groups.create("films").arn
    schema = world.resources.schemas.create("films", ITEMS).arn
    dataset = world.resources.datasets.create(
        "films", schema_arn=schema, dataset_group_arn=group, dataset_type="items"
    ).arn
    solution = world.resources.solutions.create(
        SolutionRequest(name="films", dataset_group_arn=group, recipe_arn=POPULARITY)
    ).arn

    assert group == f"{ARN}:dataset-group/films"
    assert schema == f"{ARN}:schema/films"
    assert dataset == f"{ARN}:dataset/films/ITEMS"
    assert solution == f"{ARN}:solution/films"


def test_taken_name_is_told_in_personalizes_words(world):
    world.resources.dataset_groups.create("films")

    with pytest.raises(ResourceAlreadyExists) as caught:
        world.resources.dataset_groups.create("films")

    assert caught.value.message == f"Another resource with Arn {ARN}:dataset-group/films already exists."


def test_resource_without_long_work_is_active_at_the_first_look(world):
    group = world.group()
    dataset = world.dataset(group)

    assert world.resources.dataset_groups.describe(group).status == "ACTIVE"
    assert world.resources.datasets.describe(dataset).status == "ACTIVE"


def test_role_of_a_group_needs_a_key(world):
    world.resources.dataset_groups.create("both", role_arn=ROLE, kms_key_arn=KEY)
    with pytest.raises(InvalidInput, match="kmsKeyArn"):
        world.resources.dataset_groups.create("films", role_arn=ROLE)


@pytest.mark.parametrize(
    ("arn", "error"),
    [("films", InvalidInput), (f"{ARN}:schema/films", InvalidInput), (f"{ARN}:dataset-group/x", ResourceNotFound)],
)
def test_wrong_arn_is_told_from_a_missing_resource(world, arn, error):
    told = "`datasetGroupArn`: got" if error is InvalidInput else f"Resource Arn {arn} does not exist"
    with pytest.raises(error, match=told):
        world.resources.dataset_groups.describe(arn)


def test_group_has_one_dataset_of_each_type(world):
    group = world.group()
    world.dataset(group)

    with pytest.raises(ResourceAlreadyExists, match="INTERACTIONS"):
        world.dataset(group)


def test_dataset_and_schema_must_be_for_the_same_type_and_domain(world):
    plain = world.resources.schemas.create("plain", ITEMS).arn
    shop_items = avro("Items", column("ITEM_ID"), column("PRICE", "float"), column("CATEGORY_L1", categorical=True))
    shop = world.resources.schemas.create("shop", shop_items, domain="ECOMMERCE").arn
    group = world.group()

    with pytest.raises(InvalidInput, match="a schema for ITEMS"):
        world.resources.datasets.create("x", schema_arn=plain, dataset_group_arn=group, dataset_type="Users")
    with pytest.raises(InvalidInput, match="ECOMMERCE"):
        world.resources.datasets.create("x", schema_arn=shop, dataset_group_arn=group, dataset_type="Items")


def test_each_dataset_has_its_own_table_also_after_a_deletion(world):
    group = world.group()
    dataset = world.dataset(group)
    before = world.resources.datasets.describe(dataset).location
    world.resources.datasets.delete(dataset)
    world.finish_next({"removed_objects": 0})

    after = world.resources.datasets.describe(world.dataset(group)).location

    assert before.startswith("datasets/group-0/INTERACTIONS-")
    assert before != after


def test_import_job_tells_the_trainer_what_to_read_and_where_to_write(world):
    dataset = world.dataset(world.group())
    job = world.import_job(dataset)
    assert world.resources.imports.describe(job).status == "CREATE PENDING"

    payload = world.lease().job.payload

    assert payload["table"] == {
        "dataset_type": "INTERACTIONS",
        "location": world.resources.datasets.describe(dataset).location,
        "schema": INTERACTIONS,
    }
    assert payload["data_location"] == "s3://bucket/interactions.csv"
    assert payload["replace"] is True
    assert world.resources.imports.describe(job).status == "CREATE IN_PROGRESS"


def test_incremental_import_adds_to_an_earlier_one(world):
    dataset = world.dataset(world.group())
    more = {"dataset_arn": dataset, "data_location": "s3://bucket/more.csv", "import_mode": "INCREMENTAL"}
    with pytest.raises(InvalidInput, match="importMode"):
        world.resources.imports.create("too-early", **more)
    world.import_job(dataset)
    world.finish_next({"imported_rows": 5000})

    world.resources.imports.create("more", **more)

    assert world.lease().job.payload["replace"] is False


def test_attribution_metrics_of_an_import_are_said_to_be_not_built(world):
    with pytest.raises(InvalidInput, match="not built yet"):
        world.resources.imports.create(
            "x",
            dataset_arn=world.dataset(world.group()),
            data_location="s3://bucket/x.csv",
            publish_attribution_metrics=True,
        )


def test_finished_import_is_active(world):
    job = world.import_job(world.dataset(world.group()))
    world.finish_next({"imported_rows": 5000, "files": 1})

    found = world.resources.imports.describe(job)
    assert (found.status, found.imported_rows) == ("ACTIVE", 5000)


@pytest.mark.parametrize(
    "member", ["perform_auto_training", "perform_auto_ml", "perform_hpo", "perform_incremental_update"]
)
def test_solution_that_asks_for_more_than_is_built_is_refused(world, member):
    request = SolutionRequest(
        name="films", dataset_group_arn=world.group(), recipe_arn=PERSONALIZATION, **{member: True}
    )

    with pytest.raises(InvalidInput, match="want false"):
        world.resources.solutions.create(request)


def test_solution_needs_a_recipe(world):
    with pytest.raises(InvalidInput, match="`recipeArn`"):
        world.resources.solutions.create(SolutionRequest(name="films", dataset_group_arn=world.group()))


def test_version_needs_interactions_to_learn_from(world):
    group = world.group()
    solution = world.solution(group)
    with pytest.raises(InvalidInput, match="an Interactions dataset"):
        world.version(solution)
    dataset = world.dataset(group)
    with pytest.raises(InvalidInput, match="import some, or create an event tracker"):
        world.version(solution)

    world.import_job(dataset)
    world.finish_next({"imported_rows": 5000})

    assert world.resources.versions.describe(world.version(solution)).status == "CREATE PENDING"


def test_streamed_events_alone_are_enough_to_learn_from(world):
    group = world.group()
    world.dataset(group)
    world.resources.trackers.create("films", dataset_group_arn=group)

    assert world.version(world.solution(group))


def test_version_tells_the_trainer_what_to_learn(world):
    group = world.imported_group()
    world.dataset(group, "Items", ITEMS)
    config = {"algorithmHyperParameters": {"apply_recency_bias": "false"}}
    solution = world.resources.solutions.create(
        SolutionRequest(
            name="films",
            dataset_group_arn=group,
            recipe_arn=PERSONALIZATION,
            event_type="watch",
            solution_config=config,
        )
    ).arn
    version = world.version(solution)

    payload = world.lease().job.payload

    assert version.startswith(f"{solution}/")
    assert payload["solution_version_arn"] == version
    assert payload["artifact_location"] == f"artifacts/films-{version[-8:]}"
    assert payload["recipe"] == "aws-user-personalization-v2"
    assert payload["solution_config_json"] == '{"algorithmHyperParameters": {"apply_recency_bias": "false"}}'
    assert payload["event_type"] == "watch"
    assert [table["dataset_type"] for table in payload["tables"]] == ["INTERACTIONS", "ITEMS"]


def test_named_versions_of_a_solution_differ(world):
    solution = world.solution(world.imported_group())
    first = world.resources.versions.create(solution, name="first").arn
    unnamed = world.resources.versions.describe(world.version(solution))

    with pytest.raises(ResourceAlreadyExists, match=first):
        world.resources.versions.create(solution, name="first")
    assert unnamed.name == unnamed.arn.partition(":solution/")[2]


def test_metrics_are_there_when_the_version_is_active(world):
    version = world.version(world.solution(world.imported_group()))
    with pytest.raises(ResourceInUse, match="CREATE PENDING"):
        world.resources.versions.metrics(version)

    world.finish_next({"metrics": {"coverage": 0.25}})

    assert world.resources.versions.metrics(version) == {"coverage": 0.25}


def test_solution_shows_its_newest_version(world):
    solution = world.solution(world.imported_group())
    assert world.resources.solutions.describe(solution)[1] is None
    world.version(solution)
    world.clock.advance(seconds=1)
    newest = world.version(solution)

    assert world.resources.solutions.describe(solution)[1].arn == newest


def test_finished_version_cannot_be_stopped(world):
    with pytest.raises(ResourceInUse, match="ACTIVE"):
        world.resources.versions.stop(world.active_version())


def test_group_has_one_event_tracker(world):
    group = world.group()
    first = world.resources.trackers.create("films", dataset_group_arn=group)

    with pytest.raises(ResourceAlreadyExists) as caught:
        world.resources.trackers.create("others", dataset_group_arn=group)
    assert caught.value.message == (
        f"Another resource with Arn {first.arn} already exists. Dataset group {group} has the event tracker films "
        "already, and may have one."
    )
    assert first.arn.startswith(f"{ARN}:event-tracker/")
    assert len(first.tracking_id) == 36


def test_trackers_of_several_groups_may_have_one_name(world):
    made = [world.resources.trackers.create("films", dataset_group_arn=world.group()) for _ in range(2)]

    assert {tracker.name for tracker in made} == {"films"}
    assert len({tracker.arn for tracker in made}) == 2


def test_tracking_id_stands_for_group_and_table(world):
    group = world.group()
    tracker = world.resources.trackers.create("films", dataset_group_arn=group)
    assert world.resources.trackers.resolve(tracker.tracking_id).interactions is None

    dataset = world.dataset(group)

    found = world.resources.trackers.resolve(tracker.tracking_id)
    assert (found.event_tracker_arn, found.dataset_group_arn) == (tracker.arn, group)
    assert found.interactions.location == world.resources.datasets.describe(dataset).location


def test_tracking_id_of_a_deleted_tracker_stands_for_nothing(world):
    tracker = world.resources.trackers.create("films", dataset_group_arn=world.group())
    world.resources.trackers.delete(tracker.arn)

    with pytest.raises(ResourceNotFound, match="`trackingId`"):
        world.resources.trackers.resolve(tracker.tracking_id)


def test_lists_are_filtered_by_their_parent(world):
    first, second = world.group(), world.group()
    mine = world.dataset(first)
    world.dataset(second)

    page = world.resources.datasets.list(EVERYTHING, dataset_group_arn=first)

    assert [row.arn for row in page.items] == [mine]
    assert len(world.resources.datasets.list(EVERYTHING, dataset_group_arn=None).items) == 2


def test_pages_join_to_the_whole_list(world):
    made = [world.group() for _ in range(5)]

    first = world.resources.dataset_groups.list(PageRequest(max_results=2))
    second = world.resources.dataset_groups.list(PageRequest(first.next_token, 2))
    third = world.resources.dataset_groups.list(PageRequest(second.next_token, 2))

    found = [row.arn for page in (first, second, third) for row in page.items]
    assert found == made
    assert third.next_token is None


def test_page_token_is_good_for_the_same_filter_only(world):
    first, second = world.group(), world.group()
    world.dataset(first)
    world.dataset(first, "Items", ITEMS)
    page = world.resources.datasets.list(PageRequest(max_results=1), dataset_group_arn=first)

    with pytest.raises(InvalidNextToken):
        world.resources.datasets.list(PageRequest(page.next_token, 1), dataset_group_arn=second)


def test_versions_of_an_unknown_solution_are_not_found(world):
    with pytest.raises(ResourceNotFound):
        world.resources.versions.list(EVERYTHING, solution_arn=f"{ARN}:solution/x")


@pytest.mark.parametrize(
    ("quota", "make"),
    [
        ("dataset_groups", lambda world, group: world.group()),
        ("schemas", lambda world, group: world.resources.schemas.create(world.name("s"), ITEMS)),
        ("solutions_per_group", lambda world, group: world.solution(group)),
    ],
)
def test_quota_refuses_one_too_many_and_leaves_nothing_behind(tmp_path, quota, make):
    world = make_world(tmp_path, quotas=Quotas(**{quota: 1}))
    group = world.group() if quota != "dataset_groups" else None
    make(world, group)

    with pytest.raises(LimitExceeded, match=f"`{quota}`: got 2, want at most 1"):
        make(world, group)

    assert len(world.resources.dataset_groups.list(EVERYTHING).items) == 1 or quota == "schemas"
    world.metadata_store.close()


def test_pending_imports_and_versions_have_quotas(tmp_path):
    world = make_world(tmp_path, quotas=Quotas(pending_imports=1, pending_solution_versions=1))
    group = world.imported_group()
    (dataset,) = world.resources.datasets.list(EVERYTHING, dataset_group_arn=group).items
    world.import_job(dataset.arn)
    solution = world.solution(group)
    world.version(solution)

    with pytest.raises(LimitExceeded, match="pending_imports"):
        world.import_job(dataset.arn)
    with pytest.raises(LimitExceeded, match="pending_solution_versions"):
        world.version(solution)
    world.metadata_store.close()


def test_tags_given_at_creation_are_listed_changed_and_removed(world):
    group = world.resources.dataset_groups.create("films", tags=[("team", "a"), ("stage", "test")]).arn
    world.resources.tags.add(group, [("team", "b"), ("cost", "7")])
    world.resources.tags.remove(group, ["stage", "unknown"])

    assert [(tag.tag_key, tag.tag_value) for tag in world.resources.tags.list(group)] == [("cost", "7"), ("team", "b")]


def test_tags_go_with_their_resource(world):
    group = world.resources.dataset_groups.create("films", tags=[("team", "a")]).arn
    world.resources.dataset_groups.delete(group)
    world.resources.dataset_groups.create("films")

    assert world.resources.tags.list(group) == []


def test_too_many_tags_over_several_calls_are_refused(world):
    group = world.group()
    world.resources.tags.add(group, [(f"k{number}", "") for number in range(50)])

    with pytest.raises(TooManyTags):
        world.resources.tags.add(group, [("one more", "")])


def test_tags_need_a_resource_that_exists_and_carries_tags(world):
    schema = world.resources.schemas.create("films", ITEMS).arn

    with pytest.raises(InvalidInput, match="`resourceArn`"):
        world.resources.tags.list(schema)
    with pytest.raises(ResourceNotFound, match=r"^Resource Arn .* does not exist"):
        world.resources.tags.list(f"{ARN}:campaign/x")


def test_versions_carry_tags_of_their_own(world):
    version = world.active_version()
    world.resources.tags.add(version, [("team", "a")])

    assert [tag.tag_key for tag in world.resources.tags.list(version)] == ["team"]


def test_removal_job_names_the_folders(world):
    dataset = world.dataset(world.group())
    world.resources.datasets.delete(dataset)

    lease = world.lease("trainer-1", JobKind.STORAGE_REMOVAL)

    assert lease.job.payload["locations"] == [world.resources.datasets.describe(dataset).location]


VERSION_1 = "arn:aws:personalize:::recipe/aws-user-personalization"


def test_an_update_begins_from_the_newest_version_that_was_trained_in_full(world):
    solution = world.solution(world.imported_group(), VERSION_1)
    for _ in range(2):
        newest = world.version(solution)
        world.finish_next({"metrics": {"coverage": 0.5}})
        world.clock.advance(seconds=1)
    world.version(solution)  # still waits

    for _ in range(2):
        update = world.resources.versions.create(solution, training_mode="UPDATE")
        payload = world.lease().job.payload
        while payload["solution_version_arn"] != update.arn:
            payload = world.lease().job.payload
        base = world.resources.versions.describe(newest)
        assert (payload["training_mode"], update.training_mode) == ("UPDATE", "UPDATE")
        assert payload["base_artifact_location"] == base.artifact_location
        world.clock.advance(seconds=1)


def test_a_full_training_begins_from_nothing(world):
    world.version(world.solution(world.imported_group(), VERSION_1))
    assert "base_artifact_location" not in world.lease().job.payload


def test_there_must_be_something_to_update(world):
    solution = world.solution(world.imported_group(), VERSION_1)
    world.version(solution)
    with pytest.raises(
        InvalidInput, match=f"`trainingMode`: got 'UPDATE', want FULL: {solution} has no ACTIVE version"
    ):
        world.resources.versions.create(solution, training_mode="UPDATE")
    plain = world.solution(world.imported_group(), PERSONALIZATION)
    with pytest.raises(InvalidInput, match="`trainingMode`: got 'UPDATE', want FULL: aws-user-personalization-v2"):
        world.resources.versions.create(plain, training_mode="UPDATE")


def test_an_objective_needs_its_column_when_a_version_is_trained(world):
    group = world.imported_group()
    config = {"optimizationObjective": {"itemAttribute": "PRICE", "objectiveSensitivity": "LOW"}}
    request = SolutionRequest(
        name=world.name("solution"), dataset_group_arn=group, recipe_arn=VERSION_1, solution_config=config
    )
    solution = world.resources.solutions.create(request).arn
    with pytest.raises(InvalidInput, match=r"itemAttribute`: got 'PRICE'.*no such column"):
        world.version(solution)

    world.dataset(group, "Items", avro("Items", column("ITEM_ID"), column("PRICE", "float")))

    assert world.version(solution)
    assert '"objectiveSensitivity": "LOW"' in world.lease().job.payload["solution_config_json"]


def test_a_campaign_tells_the_runtimes_how_to_explore(world):
    version = world.version(world.solution(world.imported_group(), VERSION_1))
    world.finish_next({"training_hours": 0.01})
    config = {"itemExplorationConfig": {"explorationWeight": "0.7", "explorationItemAgeCutOff": "14"}}

    campaign = world.campaign(version, campaign_config=config)

    assert json.loads(world.assigned()[campaign].config_json) == config
    assert world.resources.campaigns.describe(campaign).serving.campaign_config == config
