"""A whole system whose datasets, artifacts and outputs lie in S3, and a second runtime that shares nothing else."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager

import pytest

from benchmarks.processes import free_base, running_process
from benchmarks.system import running_system
from cli.demo.generated import generate
from cli.demo.items import SCHEMAS
from cli.demo.journey import ROLE_ARN, Journey
from cli.system import process_specs
from common.rpc.channels import channel
from common.rpc.probe import is_serving
from common.testing import wait_until
from protos.tailorbird.runtime.v1.runtime_service_pb2 import GetRecommendationsRequest
from protos.tailorbird.runtime.v1.runtime_service_pb2_grpc import RuntimeServiceStub
from tests.s3 import s3_server

FILTER = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click") | INCLUDE ItemID WHERE Items.GENRES IN ($GENRES)'
USER = "user-0001"


@pytest.fixture(scope="module")
def s3():
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def environ(s3):
    return {
        "TAILORBIRD_STORE_URL": "s3://results/store",
        "TAILORBIRD_S3_ENDPOINT": s3.endpoint,
        "TAILORBIRD_S3_ACCESS_KEY_ID": s3.access_key_id,
        "TAILORBIRD_S3_SECRET_ACCESS_KEY": s3.secret_access_key,
        "TAILORBIRD_FEATURE_SNAPSHOT_SECONDS": "1",
    }


@contextmanager
def second_runtime(system, folder, environ):
    """Run another runtime beside a system, with folders of its own; yield its address."""
    [spec] = [
        spec
        for spec in process_specs(system.installation, system.ports, environ=environ)
        if spec.name == "runtime_service"
    ]
    address = f"127.0.0.1:{free_base(1)}"
    folders = {"TAILORBIRD_CACHE_DIR": str(folder / "artifacts"), "TAILORBIRD_HISTORY_DIR": str(folder / "history")}
    with running_process(
        spec.command,
        log=folder / "runtime.log",
        is_ready=lambda: is_serving(address),
        environ={**spec.environment, **folders, "TAILORBIRD_LISTEN": address},
    ):
        yield address


def upload(s3, data, folder):
    """Put the files of a data set into S3; return their locations."""
    files = {kind: file for kind, file in data.write_csv(folder).items() if kind in ("Interactions", "Items")}
    for file in files.values():
        s3.client().upload_file(str(file), "films", file.name)
    return {kind: f"s3://films/{file.name}" for kind, file in files.items()}


def exported_lines(s3, journey, name):
    """Export the interactions; return the lines of the files below their header."""
    personalize = journey.clients.personalize
    arn = personalize.create_dataset_export_job(
        jobName=name,
        datasetArn=journey.datasets["Interactions"],
        ingestionMode="ALL",
        roleArn=ROLE_ARN,
        jobOutput={"s3DataDestination": {"path": "s3://results/exports/"}},
    )["datasetExportJobArn"]
    journey.wait("export", lambda: personalize.describe_dataset_export_job(datasetExportJobArn=arn)["datasetExportJob"])
    keys = [key for key in s3.keys("results") if key.startswith(f"exports/{name}/")]
    assert f"exports/{name}/_manifest.json" in keys
    files = [s3.client().get_object(Bucket="results", Key=key)["Body"].read() for key in keys if key.endswith(".csv")]
    return [line for file in files for line in file.decode().splitlines()[1:]]


def delete_user(s3, journey):
    """Delete the data of the user, and wait until they are gone."""
    s3.client().put_object(Bucket="films", Key="gone/users.csv", Body=f"USER_ID\n{USER}\n".encode())
    personalize = journey.clients.personalize
    arn = personalize.create_data_deletion_job(
        jobName="gone",
        datasetGroupArn=journey.dataset_group_arn,
        dataSource={"dataLocation": "s3://films/gone/"},
        roleArn=ROLE_ARN,
    )["dataDeletionJobArn"]

    def status():
        return personalize.describe_data_deletion_job(dataDeletionJobArn=arn)["dataDeletionJob"]["status"]

    wait_until(lambda: status() == "COMPLETED", seconds=120, every=0.2)


def test_two_runtimes_serve_from_s3_what_was_imported_trained_and_put(s3, environ, tmp_path):
    data = generate(users=60, genres=3, series=3)
    for name in ("system", "second"):
        (tmp_path / name).mkdir()
    with ExitStack() as stack:
        system = stack.enter_context(running_system(tmp_path / "system", settings=environ))
        second = stack.enter_context(second_runtime(system, tmp_path / "second", environ))
        journey = Journey(system.clients(), suffix="s3")
        personalize = journey.clients.personalize
        journey.create_datasets({kind: SCHEMAS[kind] for kind in ("Interactions", "Items")})
        journey.import_csv(upload(s3, data, tmp_path / "csv"))
        filter_arn = personalize.create_filter(
            name="unseen", datasetGroupArn=journey.dataset_group_arn, filterExpression=FILTER
        )["filterArn"]
        journey.wait("filter", lambda: personalize.describe_filter(filterArn=filter_arn)["filter"])
        campaign = journey.create_campaign(
            "popular", journey.train(journey.create_solution("p", "aws-popularity-count"))
        )
        genre = min({genre for item in data.items.values() for genre in item.genres})

        request = GetRecommendationsRequest(
            campaign_arn=campaign, user_id=USER, num_results=50, filter_arn=filter_arn,
            filter_values={"GENRES": f'"{genre}"'},
        )  # fmt: skip
        stubs = [
            RuntimeServiceStub(stack.enter_context(channel(address, token=system.token())))
            for address in (system.ports.address("runtime_service"), second)
        ]

        def listed():
            """Return what each runtime recommends, several times, so that each worker answers."""
            responses = [stub.GetRecommendations(request, wait_for_ready=True) for stub in stubs for _ in range(4)]
            return {frozenset(item.item_id for item in answer.item_list) for answer in responses}

        of_genre = {item for item, film in data.items.items() if genre in film.genres and data.popularity[item]}
        wait_until(lambda: listed() == {frozenset(of_genre)}, seconds=120, every=0.2)

        clicked = min(of_genre)
        journey.put_events(journey.create_event_tracker(), USER, [clicked], event_type="click")
        wait_until(lambda: listed() == {frozenset(of_genre - {clicked})}, seconds=120, every=0.2)

        lines = exported_lines(s3, journey, "before")
        assert len(lines) == len(data.interactions) + 1
        assert any(line.startswith(f"{USER},{clicked},") and "click" in line for line in lines)
        delete_user(s3, journey)
        of_others = [line for line in lines if not line.startswith(f"{USER},")]
        assert sorted(exported_lines(s3, journey, "after")) == sorted(of_others)

        # All of it is in S3, and goes from there with the group.
        stored = [key for key in s3.keys("results") if key.startswith("store/")]
        assert {key.split("/")[1] for key in stored} >= {"artifacts", "datasets"}
        assert list((tmp_path / "system" / "store").rglob("*")) == []
        personalize.delete_filter(filterArn=filter_arn)
        journey.delete_group(journey.dataset_group_arn)
        wait_until(lambda: not any(key.startswith("store/") for key in s3.keys("results")), seconds=120, every=0.2)
