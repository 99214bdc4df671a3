"""Batch inference jobs and batch segment jobs: what they are made of, and what is refused."""

from __future__ import annotations

import pytest
from google.protobuf import json_format

from common.errors import InvalidInput, LimitExceeded, ResourceInUse, ResourceNotFound
from control_plane.domain.jobs import JobKind
from control_plane.domain.quotas import Quotas
from control_plane.jobs.payloads import read_payload
from protos.tailorbird.control.v1 import batch_inference_job_pb2 as inference
from protos.tailorbird.control.v1 import batch_segment_job_pb2 as segment
from protos.tailorbird.control.v1.common_pb2 import S3DataConfig
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from protos.tailorbird.internal.v1.jobs_pb2 import BatchInferencePayload
from recipes.catalog import RECIPES
from tests.control_plane.world import ACCOUNT, EVERYTHING, avro, column, make_world

ROLE = f"arn:aws:iam::{ACCOUNT}:role/Personalize"
RECIPE = "arn:aws:personalize:::recipe/"
BATCHED = sorted(name for name, spec in RECIPES.items() if spec.kind.batch_operation == "CreateBatchInferenceJob")


def inference_request(version, name="weekly", source="s3://lake/users.json", output="s3://results/", **members):
    return inference.CreateBatchInferenceJobRequest(
        job_name=name,
        solution_version_arn=version,
        role_arn=ROLE,
        job_input=inference.BatchInferenceJobInput(s3_data_source=S3DataConfig(path=source)),
        job_output=inference.BatchInferenceJobOutput(s3_data_destination=S3DataConfig(path=output)),
        **members,
    )


def segment_request(version, name="weekly", output="s3://results/", **members):
    return segment.CreateBatchSegmentJobRequest(
        job_name=name,
        solution_version_arn=version,
        role_arn=ROLE,
        job_input=segment.BatchSegmentJobInput(s3_data_source=S3DataConfig(path="s3://lake/items.json")),
        job_output=segment.BatchSegmentJobOutput(s3_data_destination=S3DataConfig(path=output)),
        **members,
    )


def version_of(world, recipe):
    version = world.version(world.solution(world.imported_group(), RECIPE + recipe))
    world.finish_next({"metrics": {}})
    return version


def test_a_trainer_is_told_which_events_count_as_runtimes_are(world):
    events = {"event_parameters_list": [{"event_type": "WATCH"}, {"event_type": "BUY"}]}
    solution = world.solution(
        world.imported_group(),
        RECIPE + "aws-user-personalization-v2",
        solution_config=json_format.ParseDict({"events_config": events}, SolutionConfig()),
    )
    version = world.version(solution)
    world.finish_next({"metrics": {}})

    world.resources.batch_inference.create(inference_request(version))

    lease = world.lease("trainer-1", JobKind.BATCH_INFERENCE)
    payload = read_payload(lease.job, BatchInferencePayload)
    assert payload.artifact_location == world.resources.versions.describe(version).artifact_location
    assert [rule.event_type for rule in payload.event_rules] == ["WATCH", "BUY"]
    assert not any(rule.HasField("least_value") for rule in payload.event_rules)
    assert not payload.HasField("event_type")
    assert [table.dataset_type for table in payload.tables] == ["INTERACTIONS"]


def test_a_job_waits_as_it_was_asked_for_and_is_listed_by_its_version(world):
    version = world.active_version()

    row = world.resources.batch_inference.create(inference_request(version))

    assert (row.status, row.num_results, row.batch_inference_job_mode) == ("CREATE PENDING", 25, "BATCH_INFERENCE")
    described = world.resources.batch_inference.describe(row.arn)
    assert described.job_input.s3_data_source.path == "s3://lake/users.json"
    jobs = world.resources.batch_inference.list(EVERYTHING, solution_version_arn=version).items
    assert [job.arn for job in jobs] == [row.arn]
    with pytest.raises(ResourceInUse, match="batch-inference-job"):
        world.resources.solutions.delete(world.resources.versions.describe(version).solution_arn)


@pytest.mark.parametrize(
    ("folder", "another"),
    [
        ("s3://results/a/", "s3://results/a"),
        ("file:///data/my results/", "file:///data//./my%20results"),
    ],
)
def test_jobs_with_one_folder_of_output_are_done_one_after_the_other(world, folder, another):
    inference_version, segment_version = (
        version_of(world, name) for name in ("aws-popularity-count", "aws-item-affinity")
    )
    world.resources.batch_inference.create(inference_request(inference_version, output=folder))
    world.clock.advance(seconds=1)
    world.resources.batch_segments.create(segment_request(segment_version, output=another))
    world.clock.advance(seconds=1)
    world.resources.batch_inference.create(inference_request(inference_version, "other", output="s3://results/b/"))

    first, other = world.lease(), world.lease()

    assert [lease.job.kind for lease in (first, other)] == [JobKind.BATCH_INFERENCE] * 2
    assert world.lease() is None
    world.complete(first, {"answered_lines": 1})
    assert world.lease().job.kind == JobKind.BATCH_SEGMENT


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"num_results": 0}, "numResults`: got 0, want an integer from 1 to 500"),
        ({"num_results": 501}, "numResults`: got 501"),
        ({"source": "users.json"}, r"jobInput\.s3DataSource\.path`: got 'users.json', want s3://BUCKET/KEY"),
        ({"output": "s3://lake/"}, r"jobOutput\.s3DataDestination\.path`: got 's3://lake/', want another folder"),
        ({"source": "file:///in/u.json", "output": "file:////%69n/./"}, "path`: got 'file:////%69n/./', want another"),
        (
            {"batch_inference_job_config": inference.BatchInferenceJobConfig(ranking_influence={"FRESHNESS": 1.0})},
            "batchInferenceJobConfig.rankingInfluence",
        ),
        (
            {"batch_inference_job_config": inference.BatchInferenceJobConfig(item_exploration_config={"a": "1"})},
            "batchInferenceJobConfig.itemExplorationConfig",
        ),
        (
            {"batch_inference_job_mode": inference.BATCH_INFERENCE_JOB_MODE_THEME_GENERATION},
            "batchInferenceJobMode`: got 'THEME_GENERATION', want BATCH_INFERENCE: aws-popularity-count has no themes",
        ),
        ({"theme_generation_config": inference.ThemeGenerationConfig()}, "themeGenerationConfig"),
    ],
)
def test_malformed_jobs_are_refused_and_leave_nothing(world, members, message):
    version = world.active_version()
    with pytest.raises(InvalidInput, match=message):
        world.resources.batch_inference.create(inference_request(version, **members))
    assert world.resources.batch_inference.list(EVERYTHING, solution_version_arn=None).items == []


def test_themes_need_the_names_of_the_items(world):
    version = version_of(world, "aws-similar-items")

    def create(version, item_name):
        fields = inference.FieldsForThemeGeneration(item_name=item_name)
        mode = inference.BATCH_INFERENCE_JOB_MODE_THEME_GENERATION
        config = inference.ThemeGenerationConfig(fields_for_theme_generation=fields)
        request = inference_request(version, theme_generation_config=config, batch_inference_job_mode=mode)
        return world.resources.batch_inference.create(request)

    for name in ("", "TITLE"):
        with pytest.raises(InvalidInput, match=r"fieldsForThemeGeneration\.itemName`: .* an Items dataset with one"):
            create(version, name)

    group = world.resources.versions.describe(version).dataset_group_arn
    world.dataset(group, "Items", avro("Items", column("ITEM_ID"), column("TITLE"), column("PRICE", "float")))
    for name in ("title", "PRICE", "ITEM_ID", ""):
        with pytest.raises(InvalidInput, match=r"fieldsForThemeGeneration\.itemName`: .* names: TITLE$"):
            create(version, name)
    with pytest.raises(InvalidInput, match=r"batchInferenceJobMode`: got .THEME_GENERATION., want .* a textual field"):
        create(version, "TITLE")


def test_themes_are_made_of_items_with_names_and_texts(world):
    version = version_of(world, "aws-similar-items")
    group = world.resources.versions.describe(version).dataset_group_arn
    plot = column("PLOT", ["null", "string"], textual=True)
    world.dataset(group, "Items", avro("Items", column("ITEM_ID"), column("TITLE"), plot))
    fields = inference.FieldsForThemeGeneration(item_name="TITLE")
    config = inference.ThemeGenerationConfig(fields_for_theme_generation=fields)
    mode = inference.BATCH_INFERENCE_JOB_MODE_THEME_GENERATION

    row = world.resources.batch_inference.create(
        inference_request(version, theme_generation_config=config, batch_inference_job_mode=mode)
    )

    assert row.batch_inference_job_mode == "THEME_GENERATION"


def test_versions_and_filters_have_to_exist_and_to_fit(world):
    version = world.active_version()
    with pytest.raises(ResourceNotFound):
        world.resources.batch_inference.create(inference_request(f"{version}x"))
    other = world.group()
    world.dataset(other)
    stranger = world.resources.filters.create(
        "seen", dataset_group_arn=other, filter_expression='EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'
    ).arn
    with pytest.raises(InvalidInput, match="want a filter of"):
        world.resources.batch_inference.create(inference_request(version, filter_arn=stranger))
    pending = world.version(world.resources.versions.describe(version).solution_arn)
    with pytest.raises(ResourceInUse):
        world.resources.batch_inference.create(inference_request(pending))


def test_jobs_are_not_made_of_a_solution_that_is_being_deleted(world):
    version = world.active_version()
    segments = version_of(world, "aws-item-affinity")
    for arn in (version, segments):
        world.resources.solutions.delete(world.resources.versions.describe(arn).solution_arn)

    with pytest.raises(ResourceInUse, match="which is DELETE PENDING"):
        world.resources.batch_inference.create(inference_request(version))
    with pytest.raises(ResourceInUse, match="which is DELETE PENDING"):
        world.resources.batch_segments.create(segment_request(segments))


def test_each_recipe_has_the_batch_jobs_of_its_type(world):
    # Before a job waits, which might be done in the place of a training.
    popular, segments = world.active_version(), version_of(world, "aws-item-affinity")
    with pytest.raises(InvalidInput, match="got 'a version of aws-item-affinity', want a version of one of"):
        world.resources.batch_inference.create(inference_request(segments))
    row = world.resources.batch_segments.create(segment_request(segments, num_results=5_000_000))
    assert world.resources.batch_segments.describe(row.arn).num_results == 5_000_000
    with pytest.raises(InvalidInput, match="numResults"):
        world.resources.batch_segments.create(segment_request(segments, "more", num_results=5_000_001))
    with pytest.raises(InvalidInput, match="want a version of one of aws-item-affinity, aws-item-attribute-affinity"):
        world.resources.batch_segments.create(segment_request(popular))
    assert {"aws-trending-now", "aws-next-best-action", "aws-item-affinity"}.isdisjoint(BATCHED)


def test_waiting_jobs_are_limited(tmp_path):
    quotas = Quotas(pending_batch_inference_jobs=1, pending_batch_segment_jobs=1)
    world = make_world(tmp_path, quotas=quotas)
    version, segments = world.active_version(), version_of(world, "aws-item-affinity")
    world.resources.batch_inference.create(inference_request(version))
    world.resources.batch_segments.create(segment_request(segments))
    with pytest.raises(LimitExceeded, match="More than 1 resources with PENDING or IN_PROGRESS status"):
        world.resources.batch_inference.create(inference_request(version, "second"))
    with pytest.raises(LimitExceeded, match="More than 1 resources with PENDING or IN_PROGRESS status"):
        world.resources.batch_segments.create(segment_request(segments, "second"))
    world.metadata_store.close()


def test_filters_are_of_what_the_job_returns(world):
    version, segments = world.active_version(), version_of(world, "aws-item-affinity")

    def create_filter(name, version, target):
        group = world.resources.versions.describe(version).dataset_group_arn
        expression = f'EXCLUDE {target} WHERE Interactions.EVENT_TYPE IN ("watch")'
        return world.resources.filters.create(name, dataset_group_arn=group, filter_expression=expression).arn

    of_users, of_items = create_filter("users", version, "UserID"), create_filter("items", segments, "ItemID")
    with pytest.raises(InvalidInput, match="`filterArn`: got 'a filter of UserID', want a filter of ItemID"):
        world.resources.batch_inference.create(inference_request(version, filter_arn=of_users))
    with pytest.raises(InvalidInput, match="`filterArn`: got 'a filter of ItemID', want a filter of UserID"):
        world.resources.batch_segments.create(segment_request(segments, filter_arn=of_items))
    fitting = create_filter("viewers", segments, "userid")
    assert world.resources.batch_segments.create(segment_request(segments, filter_arn=fitting)).filter_arn == fitting
