"""Files of AWS's retired solution are read unchanged, and what has no place here is told."""

import copy
import json
import os

import pytest

from cli.declaration.load import load
from cli.declaration.members import to_members
from common.errors import InvalidInput

SCHEMA = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "ITEM_ID", "type": "string"},
        {"name": "TIMESTAMP", "type": "long"},
        {"name": "EVENT_TYPE", "type": "string"},
    ],
    "version": "1.0",
}
AWS = {
    "datasetGroup": {
        "serviceConfig": {"name": "films", "tags": [{"tagKey": "team", "tagValue": "films"}]},
        "workflowConfig": {"schedules": {"import": "cron(0 1 ? * 1 *)"}},
    },
    "datasets": {
        "serviceConfig": {"importMode": "FULL", "tags": [{"tagKey": "by", "tagValue": "file"}]},
        "interactions": {
            "dataset": {"serviceConfig": {"name": "films-interactions"}},
            "schema": {"serviceConfig": {"name": "films-interactions-schema", "schema": SCHEMA}},
        },
    },
    "eventTracker": {"serviceConfig": {"name": "films-events"}},
    "filters": [
        {"serviceConfig": {"name": "new", "filterExpression": "EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ($A)"}}
    ],
    "solutions": [
        {
            "serviceConfig": {"name": "popular", "recipeArn": "arn:aws:personalize:::recipe/aws-popularity-count"},
            "workflowConfig": {"schedules": {"full": "cron(0 3 ? * 1 *)", "update": "cron(0 3 ? * 2-7 *)"}},
            "campaigns": [{"serviceConfig": {"name": "popular-web", "minProvisionedTPS": 1}}],
            "batchInferenceJobs": [{"serviceConfig": {}, "workflowConfig": {"schedule": "cron(0 4 ? * 1 *)"}}],
        },
        {
            "serviceConfig": {"name": "related", "recipeArn": "arn:aws:personalize:::recipe/aws-sims"},
            "workflowConfig": {"schedules": {"full": "cron(0 3 1 * ? *)"}},
            "campaigns": [{"serviceConfig": {"name": "related-web", "minProvisionedTPS": 1}}],
        },
    ],
}  # fmt: skip


def _dataset_with_schema(schema):
    return {
        "dataset": {"serviceConfig": {"name": "films-items"}},
        "schema": {"serviceConfig": {"name": "films-interactions-schema", "schema": schema}},
    }


@pytest.fixture
def read(tmp_path):
    """Return a function that reads AWS's configuration after an edit."""

    def from_data(edit=lambda data: None, *, buckets=None):
        data = copy.deepcopy(AWS)
        edit(data)
        folder = tmp_path / "s3" / "bucket" / "train" / "films"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(data, indent=2))
        return load(folder / "config.json", buckets=buckets)

    return from_data


@pytest.fixture
def data_file(tmp_path):
    folder = tmp_path / "s3" / "bucket" / "train" / "films"
    folder.mkdir(parents=True)
    (folder / "interactions.csv").write_text("USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE\n")
    return folder / "interactions.csv"


def group_of(declaration):
    return declaration.configuration.dataset_groups["films"]


def test_every_resource_is_declared(read):
    declaration = read()
    group = group_of(declaration)
    assert to_members(group.request) == {"tags": [{"tagKey": "team", "tagValue": "films"}]}
    assert group.datasets["Interactions"].schema_name == "films-interactions-schema"
    assert group.datasets["Interactions"].request.name == "films-interactions"
    assert json.loads(declaration.configuration.schemas["films-interactions-schema"].text) == SCHEMA
    assert group.event_tracker.name == "films-events"
    assert group.filters["new"].request.filter_expression.startswith("EXCLUDE")
    assert list(group.solutions) == ["popular", "related"]
    assert group.solutions["popular"].campaigns["popular-web"].request.min_provisioned_tps == 1


def test_a_weekly_training_is_kept_and_followed_by_the_campaigns(read):
    solutions = group_of(read()).solutions
    assert to_members(solutions["popular"].request) == {
        "performAutoTraining": True,
        "recipeArn": "arn:aws:personalize:::recipe/aws-popularity-count",
        "solutionConfig": {"autoTrainingConfig": {"schedulingExpression": "rate(7 days)"}},
    }
    popular, related = (solutions[name].campaigns[f"{name}-web"].request for name in ("popular", "related"))
    assert popular.campaign_config.sync_with_latest_solution_version
    assert not related.HasField("campaign_config")
    assert not solutions["related"].request.HasField("perform_auto_training")


def test_everything_that_is_not_kept_is_told_with_its_line(read, tmp_path):
    lines = (json.dumps(AWS, indent=2)).splitlines()
    notes = read().notes
    for place, word in (
        ("datasetGroup.workflowConfig.schedules.import", '"import"'),
        ("solutions[0].workflowConfig.schedules.update", '"update"'),
        ("solutions[0].batchInferenceJobs[0]", '"batchInferenceJobs"'),
    ):
        line = 1 + next(index for index, text in enumerate(lines) if word in text)
        (note,) = [note for note in notes if note.startswith(f"`{place} (line ")]
        assert int(note.partition("(line ")[2].partition(")")[0]) in (line, line + 1)
        assert "not kept" in note
    (monthly,) = [note for note in notes if "solutions[1].workflowConfig.schedules.full" in note]
    assert "cron(0 3 1 * ? *) is not every N days" in monthly
    (weekly,) = [note for note in notes if "solutions[0].workflowConfig.schedules.full" in note]
    assert "kept as rate(7 days)" in weekly
    (data,) = [note for note in notes if note.startswith("`datasets.interactions")]
    assert "nothing is imported" in data


def test_data_beside_the_file_is_imported_and_imported_again_when_it_differs(read, data_file, tmp_path):
    def imported(**options):
        (declared,) = group_of(read(**options)).datasets["Interactions"].imports.values()
        return declared

    first = imported(buckets=tmp_path / "s3")
    assert first.data_location == "s3://bucket/train/films/interactions.csv"
    assert to_members(first.request) == {"importMode": "FULL", "tags": [{"tagKey": "by", "tagValue": "file"}]}
    assert imported().data_location == data_file.as_uri()
    assert imported().revision == first.revision
    os.utime(data_file, ns=(1, 1))
    assert imported().revision != first.revision


def test_data_may_be_a_folder_of_parts(read, data_file, tmp_path):
    parts = data_file.with_suffix("")
    parts.mkdir()
    data_file.rename(parts / "1.csv")
    (declared,) = group_of(read(buckets=tmp_path / "s3")).datasets["Interactions"].imports.values()
    assert declared.data_location == "s3://bucket/train/films/interactions/"


def test_recommenders_of_domain_groups_are_declared(read):
    def edit(data):
        data["datasetGroup"]["serviceConfig"]["domain"] = "ECOMMERCE"
        data["solutions"] = []
        data["recommenders"] = [{"serviceConfig": {"name": "best", "recipeArn": "arn:aws:personalize:::recipe/x"}}]

    assert group_of(read(edit)).recommenders["best"].request.recipe_arn == "arn:aws:personalize:::recipe/x"


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda data: data["solutions"][0]["serviceConfig"].update(recipe="x"),
         r"`solutions\[0\].serviceConfig.recipe \(line \d+\)`: got 'x', want no such member"),
        (lambda data: data["solutions"][0]["serviceConfig"].pop("name"),
         r"`solutions\[0\].serviceConfig \(line \d+\)`: got no name"),
        (lambda data: data["solutions"][0]["campaigns"][0]["serviceConfig"].update(minProvisionedTPS="many"),
         r"`solutions\[0\].campaigns\[0\].serviceConfig.minProvisionedTPS \(line \d+\)`: got 'many'"),
        (lambda data: data["solutions"][0]["workflowConfig"]["schedules"].update(full="weekly"),
         r"`solutions\[0\].workflowConfig.schedules.full \(line \d+\)`: got 'weekly', want cron"),
        (lambda data: data["solutions"].append({"serviceConfig": {"name": "popular", "recipeArn": "x"}}),
         r"`solutions\[2\].serviceConfig.name \(line \d+\)`: got popular, which another has before it"),
        (lambda data: data["solutions"][1]["campaigns"].append({"serviceConfig": {"name": "related-web"}}),
         r"`solutions\[1\].campaigns\[1\].serviceConfig.name \(line \d+\)`: got related-web, which another has"),
        (lambda data: data["filters"].append({"serviceConfig": {"name": "new", "filterExpression": "x"}}),
         r"`filters\[1\].serviceConfig.name \(line \d+\)`: got new, which another has before it"),
        (lambda data: data["datasets"].update(items=_dataset_with_schema({**SCHEMA, "name": "Items"})),
         r"`datasets.items.schema.serviceConfig.name \(line \d+\)`: got films-interactions-schema, which another has"),
        (lambda data: data.update(solutions={}), r"`solutions \(line \d+\)`: got \{\}, want a list"),
    ],
    ids=range(9),
)  # fmt: skip
def test_mistakes_are_told_where_they_are_in_the_file(read, edit, problem):
    with pytest.raises(InvalidInput, match=problem):
        read(edit)


def test_datasets_may_share_a_schema(read):
    declaration = read(lambda data: data["datasets"].update(items=_dataset_with_schema(SCHEMA)))

    assert {item.schema_name for item in group_of(declaration).datasets.values()} == {"films-interactions-schema"}


def test_words_that_nothing_corresponds_to_are_told(read):
    declaration = read(lambda data: data["solutions"][0].update(maxAge="4 days"))
    assert any("`solutions[0].maxAge (line" in note and "not kept" in note for note in declaration.notes)
