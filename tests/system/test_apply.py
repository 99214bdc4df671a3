"""A file of AWS's retired solution, beside its data in a bucket, becomes a system that recommends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.system import running_system
from cli.demo.generated import generate
from cli.demo.items import SCHEMAS

ROOT = Path(__file__).resolve().parents[2]
TYPES = ("Interactions", "Items", "Users")


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with running_system(tmp_path_factory.mktemp("apply"), settings={"TAILORBIRD_WORKERS": "1"}) as running:
        yield running


@pytest.fixture
def folder(system):
    """Return the folder `train/films` of a bucket, with the data in it."""
    made = system.installation.buckets / "bucket" / "train" / "films"
    made.mkdir(parents=True)
    generate(users=120).write_csv(made)
    return made


def configuration():
    datasets = {
        kind.lower(): {
            "dataset": {"serviceConfig": {"name": f"films-{kind.lower()}"}},
            "schema": {"serviceConfig": {"name": f"films-{kind.lower()}-schema", "schema": json.loads(SCHEMAS[kind])}},
        }
        for kind in TYPES
    }
    solution = {
        "serviceConfig": {
            "name": "films-popular",
            "recipeArn": "arn:aws:personalize:::recipe/aws-popularity-count",
            "performAutoTraining": False,
        },
        "campaigns": [{"serviceConfig": {"name": "films-popular-web", "minProvisionedTPS": 1}}],
    }
    return {
        "datasetGroup": {
            "serviceConfig": {"name": "films"},
            "workflowConfig": {"schedules": {"import": "cron(0 1 ? * 1 *)"}},
        },
        "datasets": {"serviceConfig": {"importMode": "FULL"}, **datasets},
        "eventTracker": {"serviceConfig": {"name": "films-events"}},
        "solutions": [solution],
    }


def tailorbird(system, *arguments):
    command = [sys.executable, "-m", "cli", *map(str, arguments), "--data-dir", str(system.installation.root)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)


def test_a_file_of_aws_and_its_data_become_recommendations(system, folder, tmp_path):
    file = folder / "config.json"
    file.write_text(json.dumps(configuration(), indent=2))

    applied = tailorbird(system, "apply", file)

    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert "schedules.import" in applied.stderr
    assert tailorbird(system, "apply", file).stdout == "nothing to do: everything is as declared\n"
    personalize, runtime = system.clients().personalize, system.clients().runtime
    jobs = personalize.list_dataset_import_jobs()["datasetImportJobs"]
    assert sorted(job["status"] for job in jobs) == ["ACTIVE"] * len(TYPES)
    (campaign,) = personalize.list_campaigns()["campaigns"]
    recommended = runtime.get_recommendations(campaignArn=campaign["campaignArn"], userId="user-0001", numResults=5)
    assert len(recommended["itemList"]) == 5

    exported = tailorbird(system, "export-config", "films")
    (tmp_path / "films.yaml").write_text(exported.stdout)
    assert tailorbird(system, "apply", tmp_path / "films.yaml", "--dry-run", "--prune").returncode == 0
