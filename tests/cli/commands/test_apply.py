"""`tailorbird apply` and `export-config` against a real control plane, whose jobs a worker does over gRPC."""

import io
import json

import pytest
import yaml

from cli.app import Env, app, run
from cli.commands.apply import CHANGES
from cli.declaration.kinds import Kind
from protos.tailorbird.control.v1 import common_pb2
from tests.cli.declaration.backend import backend

FILE = """
schemas:
  films-interactions:
    schema:
      type: record
      name: Interactions
      fields:
        - {name: USER_ID, type: string}
        - {name: ITEM_ID, type: string}
        - {name: TIMESTAMP, type: long}
        - {name: EVENT_TYPE, type: string}
      version: "1.0"
datasetGroups:
  films:
    tags: [{tagKey: team, tagValue: films}]
    datasets:
      Interactions:
        schema: films-interactions
        imports:
          first: {dataLocation: "s3://bucket/interactions.csv"}
    eventTracker: {name: films-events}
    solutions:
      popular:
        recipeArn: arn:aws:personalize:::recipe/aws-popularity-count
        performAutoTraining: false
        campaigns:
          popular-web: {minProvisionedTPS: 2, campaignConfig: {}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("apply")


@pytest.fixture(scope="module")
def applied(folder):
    """A control plane on which the file was applied; tests leave it as it is."""
    (folder / "films.yaml").write_text(FILE)
    with backend(folder / "applied") as made, made.working():
        assert run(app, Env(environ={}), ["apply", str(folder / "films.yaml"), *made.options]) == 0
        yield made


@pytest.fixture
def system(tmp_path):
    """An empty control plane."""
    with backend(tmp_path / "empty") as made:
        yield made


@pytest.fixture
def tailorbird(capsys):
    """Return a function that runs a command and returns its exit code, output and errors."""

    def call(*arguments):
        capsys.readouterr()
        code = run(app, Env(environ={}), list(map(str, arguments)))
        output = capsys.readouterr()
        return code, "\n".join(line for line in output.out.splitlines() if "[info" not in line), output.err

    return call


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file after an edit of FILE."""

    def to_file(edit=lambda data: None, name="edited.yaml"):
        data = yaml.safe_load(FILE)
        edit(data)
        (tmp_path / name).write_text(json.dumps(data) if name.endswith(".json") else yaml.safe_dump(data))
        return tmp_path / name

    return to_file


def group_of(data):
    return data["datasetGroups"]["films"]


def solution_of(data):
    return group_of(data)["solutions"]["popular"]


def dataset_of(data):
    return group_of(data)["datasets"]["Interactions"]


def counts(system):
    with system.api() as api:
        return {kind: len(list(api.summaries(kind))) for kind in Kind}


def test_everything_that_is_declared_exists_after_one_run(applied):
    assert counts(applied) == {
        **dict.fromkeys(Kind, 1),
        Kind.FILTER: 0,
        Kind.RECOMMENDER: 0,
    }


def test_a_second_run_has_nothing_to_do(applied, tailorbird, folder):
    code, output, _ = tailorbird("apply", folder / "films.yaml", *applied.options)
    assert (code, output) == (0, "nothing to do: everything is as declared")


def test_a_dry_run_shows_the_plan_and_changes_nothing(system, tailorbird, folder, applied):
    code, output, _ = tailorbird("apply", folder / "films.yaml", "--dry-run", *system.options)
    assert code == CHANGES
    assert output.splitlines() == [
        "+ schema films-interactions",
        "+ dataset group films",
        "+ dataset films/INTERACTIONS",
        "+ dataset import job films/INTERACTIONS/first",
        "    dataLocation: s3://bucket/interactions.csv",
        "+ event tracker films/films-events",
        "+ solution films/popular",
        "+ solution version films/popular",
        "+ campaign films/popular/popular-web",
        "8 to create",
    ]
    assert set(counts(system).values()) == {0}
    assert tailorbird("apply", folder / "films.yaml", "--dry-run", *applied.options)[0] == 0


@pytest.mark.parametrize("name", ["exported.yaml", "exported.json"])
def test_what_is_exported_changes_nothing_here_and_makes_the_same_elsewhere(
    applied, system, tailorbird, tmp_path, name
):
    form = name.partition(".")[2]
    _, exported, _ = tailorbird("export-config", "--format", form, *applied.options)
    (tmp_path / name).write_text(exported)
    assert tailorbird("apply", tmp_path / name, "--dry-run", *applied.options)[0] == 0

    with system.working():
        assert tailorbird("apply", tmp_path / name, *system.options)[0] == 0

    assert tailorbird("export-config", "films", "--format", form, *system.options)[1] == exported
    assert counts(system) == counts(applied)


def test_a_group_that_does_not_exist_cannot_be_exported(applied, tailorbird):
    code, _, errors = tailorbird("export-config", "plays", *applied.options)
    assert code == 1
    assert "`group`: got plays, which does not exist" in errors


def test_members_that_the_api_cannot_update_are_reported_and_nothing_is_changed(applied, tailorbird, write):
    def edit(data):
        solution_of(data)["recipeArn"] = "arn:aws:personalize:::recipe/aws-sims"
        solution_of(data)["campaigns"]["popular-web"]["minProvisionedTPS"] = 3
        data["schemas"]["films-interactions"]["schema"]["fields"].pop()

    file = write(edit)
    code, output, errors = tailorbird("apply", file, *applied.options)

    assert code == 1
    assert output == ""
    line = 1 + next(index for index, text in enumerate(file.read_text().splitlines()) if "recipeArn" in text)
    assert f"`datasetGroups.films.solutions.popular.recipeArn (line {line})`: got 'arn:aws:personalize:::rec" in errors
    assert "the API cannot change it in a solution" in errors
    assert "`schemas.films-interactions.schema" in errors
    with applied.api() as api:
        (campaign,) = api.summaries(Kind.CAMPAIGN)
        assert api.describe(Kind.CAMPAIGN, campaign.campaign_arn).min_provisioned_tps == 2


def test_a_name_of_another_group_is_reported(applied, tailorbird, write):
    def edit(data):
        data["datasetGroups"] = {"plays": {"solutions": group_of(data)["solutions"]}}

    code, _, errors = tailorbird("apply", write(edit), *applied.options)
    assert code == 1
    assert "solutions.popular (line" in errors
    assert "dataset-group/films has" in errors
    assert counts(applied)[Kind.DATASET_GROUP] == 1


def test_what_differs_is_updated_and_the_rest_stays(system, tailorbird, write):
    def edit(data):
        solution_of(data)["campaigns"]["popular-web"] = {
            "minProvisionedTPS": 3,
            "campaignConfig": {"syncWithLatestSolutionVersion": True},
        }
        group_of(data)["tags"] = [{"tagKey": "team", "tagValue": "plays"}, {"tagKey": "stage", "tagValue": "test"}]

    with system.working():
        assert tailorbird("apply", write(), *system.options)[0] == 0
        before = counts(system)
        code, output, _ = tailorbird("apply", write(edit), *system.options)
        assert code == 0
        again = tailorbird("apply", write(edit), "--dry-run", *system.options)

    assert output.splitlines()[:7] == [
        "~ dataset group films",
        "    tags.stage: none -> test",
        "    tags.team: films -> plays",
        "~ campaign films/popular/popular-web",
        "    minProvisionedTPS: 2 -> 3",
        "    campaignConfig.syncWithLatestSolutionVersion: none -> True",
        "1 to update, 1 to tag",
    ]
    assert again[0] == 0
    assert counts(system) == before


def test_the_schedule_of_a_solution_is_updated(system, tailorbird, write):
    def every(days):
        def edit(data):
            solution_of(data)["performAutoTraining"] = True
            solution_of(data)["solutionConfig"] = {"autoTrainingConfig": {"schedulingExpression": f"rate({days} days)"}}

        return write(edit)

    with system.working():
        assert tailorbird("apply", every(7), *system.options)[0] == 0
        code, output, _ = tailorbird("apply", every(14), *system.options)
        assert code == 0
        again = tailorbird("apply", every(14), "--dry-run", *system.options)

    assert output.splitlines()[:2] == [
        "~ solution films/popular",
        "    solutionConfig.autoTrainingConfig.schedulingExpression: rate(7 days) -> rate(14 days)",
    ]
    assert again[0] == 0


def test_another_run_goes_on_where_one_was_interrupted(system, tailorbird, write):
    code, output, errors = tailorbird("apply", write(), "--wait-minutes", "0", *system.options)
    assert code == 1
    assert (
        "dataset import job films/INTERACTIONS/first: is CREATE PENDING after 0 minutes; run the command again"
        in errors
    )
    assert counts(system)[Kind.SOLUTION] == 0

    _, output, _ = tailorbird("apply", write(), "--dry-run", *system.options)
    assert output.splitlines()[0] == "… dataset import job films/INTERACTIONS/first"

    with system.working():
        assert tailorbird("apply", write(), *system.options)[0] == 0

    assert counts(system)[Kind.IMPORT_JOB] == counts(system)[Kind.CAMPAIGN] == 1


def test_files_are_imported_again_when_location_or_revision_differ(system, tailorbird, write):
    def imports(**entries):
        def edit(data):
            dataset_of(data)["imports"] = entries
            del group_of(data)["solutions"]

        return write(edit)

    first = {"dataLocation": "s3://bucket/a.csv"}
    later = {"dataLocation": "s3://bucket/b.csv", "importMode": "INCREMENTAL"}
    job_names = []
    with system.working():
        for entries in (
            {"a": first, "b": later},
            {"a": first, "b": {**later, "revision": 2}},
            # FULL replaces what came before it, so what follows is imported anew.
            {"a": {**first, "dataLocation": "s3://bucket/c.csv"}, "b": {**later, "revision": 2}},
        ):
            assert tailorbird("apply", imports(**entries), *system.options)[0] == 0
            assert tailorbird("apply", imports(**entries), "--dry-run", *system.options)[0] == 0
            with system.api() as api:
                names = {job.job_name for job in api.summaries(Kind.IMPORT_JOB)}
            job_names.append(names.difference(*job_names))
    assert job_names == [{"a", "b"}, {"b__r2"}, {"a__2", "b__r2__2"}]


def test_a_failed_import_is_told_and_tried_again_by_the_next_run(system, tailorbird, write):
    with system.working(failing={"dataset_import"}):
        code, _, errors = tailorbird("apply", write(), *system.options)
    assert code == 1
    assert "dataset import job films/INTERACTIONS/first: is CREATE FAILED: " in errors
    assert "no file" in errors
    with system.working():
        assert tailorbird("apply", write(), *system.options)[0] == 0
    with system.api() as api:
        assert {job.job_name for job in api.summaries(Kind.IMPORT_JOB)} == {"first", "first__2"}


def test_what_is_not_declared_goes_with_prune_alone_and_in_the_order_of_the_rules(
    system, tailorbird, write, monkeypatch
):
    def edit(data):
        group_of(data).clear()
        data["schemas"].clear()

    with system.working():
        assert tailorbird("apply", write(), *system.options)[0] == 0
        before = counts(system)
        assert tailorbird("apply", write(edit), *system.options)[0] == 0
        monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
        assert tailorbird("apply", write(edit), "--prune", *system.options)[0] == 1
        assert tailorbird("apply", write(edit), "--prune", "--dry-run", *system.options)[0] == CHANGES
        assert counts(system) == before
        code, output, _ = tailorbird("apply", write(edit), "--prune", "--yes", *system.options)

    assert code == 0
    assert [line for line in output.splitlines() if line.endswith(": deleted")] == [
        "- campaign films/popular/popular-web: deleted",
        "- solution films/popular: deleted",
        "- event tracker films/films-events: deleted",
        "- dataset films/INTERACTIONS: deleted",
        "- schema films-interactions: deleted",
    ]
    assert {kind for kind, count in counts(system).items() if count} == {Kind.DATASET_GROUP}


def test_a_dataset_that_is_being_deleted_is_made_and_imported_anew(system, tailorbird, write):
    def edit(data):
        del group_of(data)["solutions"]

    with system.working():
        assert tailorbird("apply", write(edit), *system.options)[0] == 0
    with system.api() as api:
        (dataset,) = api.summaries(Kind.DATASET)
        api.delete(Kind.DATASET, dataset.dataset_arn)
    _, output, _ = tailorbird("apply", write(edit), "--dry-run", *system.options)
    assert output.splitlines()[:2] == ["+ dataset films/INTERACTIONS", "+ dataset import job films/INTERACTIONS/first"]

    with system.working():
        code, output, errors = tailorbird("apply", write(edit), *system.options)
        assert code == 0, output + errors

    with system.api() as api:
        (job,) = api.summaries(Kind.IMPORT_JOB)
        assert job.status == common_pb2.RESOURCE_STATUS_ACTIVE


def test_a_mistake_in_the_file_is_told_with_its_line_before_anything_is_asked(tailorbird, tmp_path):
    (tmp_path / "wrong.yaml").write_text("datasetGroups:\n  films:\n    domain: BOOKS\n    solution: {}\n")
    code, _, errors = tailorbird("apply", tmp_path / "wrong.yaml", "--data-dir", tmp_path)
    assert code == 1
    assert (
        errors == "error: `datasetGroups.films.domain (line 3)`: got 'BOOKS', want 'ECOMMERCE' or 'VIDEO_ON_DEMAND'\n"
    )
