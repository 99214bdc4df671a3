"""Migrations, on each database: they make the tables that the code has, and what was written keeps its meaning."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from google.protobuf import json_format
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel

from common.errors import InvalidInput
from control_plane.domain.jobs import JobKind
from control_plane.domain.schedules import Task
from control_plane.metadata_store.database import MIGRATIONS
from control_plane.metadata_store.sql import open_metadata_store
from control_plane.metadata_store.tables import (
    Campaign,
    DataDeletionJob,
    Dataset,
    DatasetGroup,
    Deployment,
    EventTracker,
    Job,
    JobAttempt,
    Schedule,
    Solution,
    SolutionVersion,
    Tag,
)
from protos.tailorbird.control.v1 import campaign_pb2, common_pb2
from protos.tailorbird.control.v1 import solution_config_pb2 as config_pb2
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1 import evaluation_pb2
from tests.control_plane.metadata_store.suite import (
    MINE,
    MOMENT,
    add,
    arn,
    attempt,
    dataset,
    group,
    group_arn,
    job,
    schema,
    solution,
)

#: A configuration as it was kept before revision 0010, and the message that it stands for.
CONFIG = {
    "algorithmHyperParameters": {},
    "featureTransformationParameters": {"low_percentile": "0.1"},
    "autoMLConfig": {"recipeList": []},
    "hpoConfig": {
        "hpoResourceConfig": {},
        "algorithmHyperParameterRanges": {
            "integerHyperParameterRanges": [],
            "categoricalHyperParameterRanges": [{"name": "bptt", "values": []}],
        },
    },
    "optimizationObjective": {"itemAttribute": "YEAR", "objectiveSensitivity": "LOW"},
    "trainingDataConfig": {"excludedDatasetColumns": {"ITEMS": ["GENRES"]}, "includedDatasetColumns": {}},
}
MESSAGE = config_pb2.SolutionConfig(
    empty_members=["algorithmHyperParameters"],
    feature_transformation_parameters={"low_percentile": "0.1"},
    auto_ml_config=config_pb2.AutoMLConfig(empty_members=["recipeList"]),
    hpo_config=config_pb2.HPOConfig(
        hpo_resource_config=config_pb2.HPOResourceConfig(),
        algorithm_hyper_parameter_ranges=config_pb2.HyperParameterRanges(
            categorical_hyper_parameter_ranges=[
                config_pb2.CategoricalHyperParameterRange(name="bptt", empty_members=["values"])
            ],
            empty_members=["integerHyperParameterRanges"],
        ),
    ),
    optimization_objective=config_pb2.OptimizationObjective(
        item_attribute="YEAR", objective_sensitivity=config_pb2.OBJECTIVE_SENSITIVITY_LOW
    ),
    training_data_config=common_pb2.TrainingDataConfig(
        excluded_dataset_columns={"ITEMS": common_pb2.StringList(values=["GENRES"])},
        empty_members=["includedDatasetColumns"],
    ),
)
CAMPAIGN = {"itemExplorationConfig": {"explorationWeight": "0.7"}, "rankingInfluence": {}}
EVALUATION = {
    "test_users": 5,
    "model": {"name": "model", "metrics": [{"name": "coverage", "value": 0.5}], "metrics_without_repeats": []},
    "comparison": {"verdict": "VERDICT_WORSE", "judged_by": "coverage"},
}
PAYLOAD = {
    "solution_version_arn": "version",
    "recipe": "aws-sims",
    "solution_config_json": json.dumps(CONFIG),
    "tables": [{"dataset_type": "ITEMS", "location": "datasets/films", "schema": "{}"}],
    "tuning": {"trials": 3, "ranges": [{"name": "bptt", "kind": "integer", "low": 1.0, "high": 9.0, "values": []}]},
}
IMPORT = {"data_location": "s3://films/a.csv", "replace": True}


def test_migrations_make_the_tables_that_the_code_has(metadata_store):
    with metadata_store._database.writing.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []


def test_contents_survive_the_newest_migrations(url):
    metadata_store = open_metadata_store(url)
    moments = {"creation_date_time": MOMENT, "last_updated_date_time": MOMENT}
    rows = [group(1), group(2), job(1), attempt("job-1", second=1), tracker(1, name="films", **moments)]
    add(metadata_store, *rows, Tag(resource_arn=group_arn(1), tag_key="k", tag_value="v"))
    downgrade(metadata_store, "0003")
    metadata_store.close()

    def look(unit) -> None:
        assert unit.count(JobAttempt, limit=9) == unit.count(Job, limit=9) == 1
        assert {row.account for row in unit.find(DatasetGroup)} == {row.account for row in unit.find(Tag)} == {MINE}
        assert [row.arn for row in unit.find(EventTracker, name="films", order=["arn"])] == [
            arn("event-tracker", "1"),
            arn("event-tracker", "2"),
        ]

    metadata_store = open_metadata_store(url)
    add(metadata_store, tracker(2, name="films", **moments))
    metadata_store.view(look)
    with pytest.raises(IntegrityError):
        add(metadata_store, tracker(2, arn=arn("event-tracker", "other"), **moments))
    metadata_store.close()


def tracker(number: int, **extra) -> EventTracker:
    columns = {"arn": arn("event-tracker", number), "name": f"tracker-{number}", **extra}
    return EventTracker(dataset_group_arn=group_arn(number), tracking_id=columns["arn"][-30:], **columns)


def test_two_processes_may_start_on_a_new_database_at_once(url):
    with ThreadPoolExecutor(3) as threads:
        opened = list(threads.map(open_metadata_store, [url] * 3))

    for metadata_store in opened:
        assert metadata_store.view(lambda unit: unit.count(DatasetGroup, limit=9)) == 0
        metadata_store.close()


def test_database_of_a_newer_version_is_refused(url):
    metadata_store = open_metadata_store(url)
    with metadata_store._database.writing.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    metadata_store.close()

    with pytest.raises(InvalidInput, match="`database_url`: got a database of a newer version"):
        open_metadata_store(url)


def test_what_older_versions_do_not_know_is_forgotten_and_the_rest_stays(url):
    metadata_store = open_metadata_store(url)
    moments = {"creation_date_time": MOMENT, "last_updated_date_time": MOMENT}
    version = {"dataset_group_arn": group_arn(1), "training_mode": "FULL", "perform_auto_ml": True, **moments}
    chosen, undecided = (solution(name, recipe_arn=None, perform_auto_ml=True) for name in ("chosen", "undecided"))
    chosen.best_recipe_arn = "best"
    add(metadata_store, group(1), chosen, undecided)
    untrained = {"arn": f"{undecided.arn}/1", "name": "1", "solution_arn": undecided.arn, "artifact_location": "1"}
    active = {"arn": f"{chosen.arn}/2", "name": "2", "solution_arn": chosen.arn, "artifact_location": "2"}
    add(
        metadata_store,
        SolutionVersion(**untrained, **version),
        SolutionVersion(**active, **version, recipe_arn="best", status="ACTIVE"),
        Campaign(arn=arn("campaign", "films"), name="films", solution_arn=chosen.arn, **moments),
        DataDeletionJob(
            arn=arn("data-deletion-job", 1), job_name="1", dataset_group_arn=group_arn(1), data_location="a", **moments
        ),
        job(1, kind=JobKind.SOLUTION_VERSION_TRAINING, subject=untrained["arn"]),
        job(2, kind=JobKind.DATA_DELETION, subject=arn("data-deletion-job", 1)),
        job(3, kind=JobKind.STORAGE_REMOVAL),
    )
    add(metadata_store, *(attempt(f"job-{number}", second=number) for number in (1, 2, 3)))
    tagged = (untrained["arn"], active["arn"], arn("data-deletion-job", 1))
    add(metadata_store, *(Tag(resource_arn=resource, tag_key="k", tag_value="v") for resource in tagged))

    downgrade(metadata_store, "0010")
    metadata_store.close()

    def look(unit) -> None:
        assert [(row.name, row.recipe_arn) for row in unit.find(Solution)] == [("chosen", "best")]
        assert [row.arn for row in unit.find(SolutionVersion)] == [active["arn"]]
        assert unit.count(Campaign, limit=9) == 1
        assert [row.id for row in unit.find(Job)] == [row.job_id for row in unit.find(JobAttempt)] == ["job-3"]
        assert [row.resource_arn for row in unit.find(Tag)] == [active["arn"]]

    metadata_store = open_metadata_store(url)
    metadata_store.view(look)
    metadata_store.close()


def test_schedules_of_trainings_outlive_those_of_updates(url):
    metadata_store = open_metadata_store(url)
    owner = solution("films")
    times = {"interval_seconds": 60, "begun_at": MOMENT, "next_run_at": MOMENT, "last_run_at": MOMENT}
    add(metadata_store, group(1), owner, *(Schedule(solution_arn=owner.arn, task=task, **times) for task in Task))
    add(metadata_store, job(1, kind=JobKind.SOLUTION_VERSION_UPDATE), attempt("job-1", second=1))
    downgrade(metadata_store, "0013")
    metadata_store.close()

    def look(unit) -> None:
        (row,) = unit.find(Schedule)
        assert (row.task, row.account, row.interval_seconds, row.last_run_at) == (Task.TRAINING, MINE, 60, MOMENT)
        assert unit.count(Job, limit=9) == unit.count(JobAttempt, limit=9) == 0
        assert [row.perform_incremental_update for row in unit.find(Solution)] == [False]

    metadata_store = open_metadata_store(url)
    metadata_store.view(look)
    metadata_store.close()


def test_snapshots_of_features_are_due_at_once_for_datasets_that_exist(url):
    metadata_store = open_metadata_store(url)
    events = dataset(1, arn=arn("dataset", "events"), dataset_type="INTERACTIONS", location="events")
    add(metadata_store, group(1), schema(1), dataset(1), events)
    downgrade(metadata_store, "0016")
    metadata_store.close()

    metadata_store = open_metadata_store(url)
    rows = metadata_store.view(lambda unit: unit.find(Dataset))
    assert {row.dataset_type: row.features_due_at for row in rows} == {"ITEMS": MOMENT, "INTERACTIONS": None}
    assert {row.features_location for row in rows} == {None}
    metadata_store.close()


def downgrade(metadata_store, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with metadata_store._database.writing.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.connection.driver_connection.execute("PRAGMA foreign_keys = OFF")
        with connection.begin():
            config.attributes["connection"] = connection
            command.downgrade(config, revision)


@pytest.fixture
def before(url):
    """Make a database of revision 0009 with one row of each kind that is converted."""
    metadata_store = open_metadata_store(url)
    downgrade(metadata_store, "0009")
    tables = sa.MetaData()
    with metadata_store._database.writing.begin() as connection:
        tables.reflect(connection)

        def add(name: str, **columns: object) -> None:
            table = tables.tables[name]
            moments = {column.name: MOMENT for column in table.c if column.name.endswith(("date_time", "_at"))}
            required = {column.name: filler(column) for column in table.c if not column.nullable}
            connection.execute(table.insert().values({**required, **moments, **columns}))

        add("dataset_group", arn="group")
        add("solution", arn="solution", dataset_group_arn="group", solution_config=CONFIG)
        parents = {"solution_arn": "solution", "dataset_group_arn": "group"}
        add("solution_version", arn="version", **parents, solution_config=CONFIG, evaluation=EVALUATION)
        add("solution_version", arn="plain", **parents, artifact_location="other")
        add("campaign", arn="campaign", solution_arn="solution")
        for number, config in enumerate((CAMPAIGN, None)):
            add(
                "deployment", id=str(number), campaign_arn="campaign", solution_version_arn="version",
                campaign_config=config,
            )  # fmt: skip
        add("job", id="training", payload=PAYLOAD, state="LEASED")
        add("job", id="import", payload=IMPORT)
        add("job", id="ended", payload={})
    yield metadata_store
    metadata_store.close()


def filler(column: sa.Column) -> object:
    """Return a value for a column whose contents do not matter."""
    if isinstance(column.type, sa.String):
        return "x"
    if isinstance(column.type, sa.Boolean):
        return False
    return {} if isinstance(column.type, sa.JSON) else 0


def test_configurations_evaluations_and_waiting_jobs_become_messages(before, url):
    before.close()

    migrated = open_metadata_store(url)

    def look(unit) -> None:
        version, training = unit.get(SolutionVersion, "version"), unit.get(Job, "training")
        assert unit.get(Solution, "solution").solution_config == version.solution_config == MESSAGE
        assert version.evaluation == json_format.ParseDict(EVALUATION, evaluation_pb2.Evaluation())
        plain = unit.get(SolutionVersion, "plain")
        assert (plain.solution_config, plain.evaluation) == (None, None)
        deployed = campaign_pb2.CampaignConfig(
            item_exploration_config={"explorationWeight": "0.7"}, empty_members=["rankingInfluence"]
        )
        assert unit.get(Deployment, "0").campaign_config == deployed
        assert unit.get(Deployment, "1").campaign_config is None
        payload = json_format.ParseDict(training.payload, jobs_pb2.SolutionVersionTrainingPayload())
        assert payload.solution_config == MESSAGE
        assert (payload.recipe, payload.tuning.ranges[0].name) == ("aws-sims", "bptt")
        assert payload.tables[0].location == "datasets/films"
        assert unit.get(Job, "import").payload == IMPORT
        assert unit.get(Job, "ended").payload == {}

    migrated.view(look)
    migrated.close()


def test_what_was_converted_is_converted_back(before, url):
    before.close()
    migrated = open_metadata_store(url)

    downgrade(migrated, "0009")

    with migrated._database.reading.connect() as connection:

        def kept(table: str, column: str, key: str) -> object:
            contents = sa.column(column, sa.JSON())
            return connection.scalar(sa.select(contents).select_from(sa.table(table)).where(sa.text(key)))

        assert kept("solution", "solution_config", "arn = 'solution'") == CONFIG
        assert kept("deployment", "campaign_config", "id = '0'") == CAMPAIGN
        assert kept("solution_version", "evaluation", "arn = 'version'") == EVALUATION
        payload = kept("job", "payload", "id = 'training'")
        assert json.loads(payload.pop("solution_config_json")) == CONFIG
        assert payload == {key: value for key, value in PAYLOAD.items() if key != "solution_config_json"}
    migrated.close()
