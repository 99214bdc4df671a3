"""Streamed events through boto3: a training has all of them, and nothing is left of those of a deleted group."""

from __future__ import annotations

import csv
import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import polars as pl
import psutil
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from benchmarks.system import running_system
from cli.app import Env, app, run
from cli.demo.items import EVENT, SCHEMAS
from cli.demo.journey import ROLE_ARN, Journey
from common import columns
from common.artifacts import read_manifest
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.tables import Table
from common.testing import wait_until

QUICK = {"embedding_size": 16, "layers": 1, "heads": 1, "epochs": 1, "max_length": 20}
CALLS, PER_CALL = 120, 10


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    # A table that had one commit waits an hour for its next one: only a training may have it sooner.
    with running_system(
        tmp_path_factory.mktemp("streaming"),
        settings={
            "TAILORBIRD_SEAL_BURST_COMMITS": "1",
            "TAILORBIRD_SEAL_STEADY_SECONDS": "3600",
            "TAILORBIRD_DELETION_SECONDS": "0.5",
            "TAILORBIRD_ATTRIBUTION_SECONDS": "0.2",
            "TAILORBIRD_ATTRIBUTION_REPORT_SECONDS": "1",
            # One for each test, whatever their order.
            "TAILORBIRD_MAX_DATASET_GROUPS": "10",
        },
        umask=0,
    ) as running:
        yield running


def send(journey, tracking_id, call):
    """Send one call's events; they are acknowledged when this returns."""
    user = f"user-{call % 40:02}"
    journey.clients.events.put_events(
        trackingId=tracking_id,
        userId=user,
        sessionId=f"session-{call}",
        eventList=[
            {"eventType": EVENT, "itemId": f"item-{(call + place) % 60:02}", "sentAt": int(time.time()) - place}
            for place in range(PER_CALL)
        ],
    )


def accepted(journey, tracking_id, user):
    """Send one event of an item that the user has never used; return whether it was acknowledged."""
    try:
        journey.put_events(tracking_id, user, ["item-45"], event_type=EVENT)
    except (ClientError, BotoCoreError):
        return False
    return True


def kill(system, name):
    """Kill one of the five processes; the supervisor brings it back."""
    for process in psutil.process_iter(["cmdline"]):
        has_name = (process.info["cmdline"] or [])[1:] == ["-m", name]
        if has_name and str(system.installation.root) in " ".join(process.environ().values()):
            process.send_signal(signal.SIGKILL)


def snapshot_rows(system, arn):
    """Return the rows of the interactions that a solution version was trained on, and its manifest."""
    store = open_store(StoreSettings(store_url=str(system.installation.store)))
    manifests = [
        read_manifest(store, path.parent.relative_to(system.installation.store).as_posix())
        for path in system.installation.store.glob("artifacts/**/manifest.json")
    ]
    # The model that was measured has one of its own beside it, with the same snapshot.
    manifest, *_ = [item for item in manifests if item.solution_version_arn == arn]
    (table,) = [item for item in manifest.snapshot.tables if item.dataset_type == "INTERACTIONS"]
    return Table(store, table.location).read(version=table.version), manifest


def test_training_includes_every_event_that_was_acknowledged_before_it_was_asked_for(system):
    journey = Journey(system.clients(), suffix="streaming")
    journey.create_datasets({"Interactions": SCHEMAS["Interactions"]})
    tracking_id = journey.create_event_tracker()
    solution = journey.create_solution("popular", "aws-popularity-count")
    with ThreadPoolExecutor(4) as senders:
        list(senders.map(lambda call: send(journey, tracking_id, call), range(CALLS)))

    version = journey.train(solution)

    rows, manifest = snapshot_rows(system, version)
    assert rows[columns.EVENT_ID].n_unique() == rows.height == CALLS * PER_CALL
    assert manifest.snapshot.event_watermark >= CALLS * PER_CALL  # more where the log had events of others before
    assert manifest.snapshot.event_epoch > 0

    with ThreadPoolExecutor(4) as senders:
        list(senders.map(lambda call: send(journey, tracking_id, call), range(CALLS, CALLS + 7)))
    again, _ = snapshot_rows(system, journey.train(solution))
    assert again.height == (CALLS + 7) * PER_CALL


def test_an_export_has_what_was_imported_and_every_event_that_was_acknowledged_before_it_was_asked_for(system):
    journey = Journey(system.clients(), suffix="exported")
    journey.create_datasets({"Interactions": SCHEMAS["Interactions"]})
    bucket = system.installation.buckets / "exported"
    bucket.mkdir(parents=True)
    imported = [f'user-{number:02},"item, {number}",{1_700_000_000 + number},View,1.5' for number in range(1000)]
    (bucket / "in.csv").write_text("\n".join(["USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE", *imported]) + "\n")
    journey.import_csv({"Interactions": "s3://exported/in.csv"})
    tracking_id = journey.create_event_tracker()
    for call in range(3):
        send(journey, tracking_id, call)

    rows = exported_rows(system, journey, "ALL")

    assert len(rows) == len(imported) + 3 * PER_CALL
    assert set(imported) <= set(rows)
    assert set(rows) == {*exported_rows(system, journey, "BULK"), *exported_rows(system, journey, "PUT")}


def exported_rows(system, journey, mode):
    """Export the interactions; return the lines of the files below their header."""
    personalize = journey.clients.personalize
    arn = personalize.create_dataset_export_job(
        jobName=mode.lower(),
        datasetArn=journey.datasets["Interactions"],
        ingestionMode=mode,
        roleArn=ROLE_ARN,
        jobOutput={"s3DataDestination": {"path": "s3://exported/out/"}},
    )["datasetExportJobArn"]

    def ended():
        job = personalize.describe_dataset_export_job(datasetExportJobArn=arn)["datasetExportJob"]
        return job if job["status"] in ("ACTIVE", "CREATE FAILED") else None

    assert wait_until(ended, seconds=60, every=0.2)["status"] == "ACTIVE"
    folder = system.installation.buckets / "exported" / "out" / mode.lower()
    assert (folder / "_manifest.json").exists()
    lines = [line for path in sorted(folder.glob("part-*.csv")) for line in path.read_text().splitlines()]
    assert lines[0] == "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE"
    return lines[1:]


def test_what_recommendations_lead_to_is_reported_once_for_their_campaign(system):
    journey = Journey(system.clients(), suffix="attributed")
    journey.create_datasets({"Interactions": SCHEMAS["Interactions"]})
    tracking_id = journey.create_event_tracker()
    for call in range(CALLS):
        send(journey, tracking_id, call)
    solution = journey.create_solution("hits", "aws-popularity-count")
    campaign = journey.create_campaign("hits", journey.train(solution))
    reports = system.installation.buckets / "attributed" / "out"
    reports.parent.mkdir(parents=True)
    journey.clients.personalize.create_metric_attribution(
        name="attributed",
        datasetGroupArn=journey.dataset_group_arn,
        metrics=[
            {"metricName": "clicks", "eventType": "Click", "expression": "SAMPLECOUNT()"},
            {"metricName": "worth", "eventType": "Click", "expression": "SUM(Interactions.EVENT_VALUE)"},
        ],
        metricsOutputConfig={"roleArn": ROLE_ARN, "s3DataDestination": {"path": "s3://attributed/out/"}},
    )
    recommendation_ids = [journey.recommend(campaign, "user-03").recommendation_id for _ in range(4)]
    for number, answer in enumerate(recommendation_ids):
        wait_until(partial(clicked, journey, tracking_id, answer), every=0.2)
        if number == 1:
            kill(system, "events_service")

    wait_until(
        lambda: reported(reports).get("CLICKS", {}).get(campaign) == len(recommendation_ids), seconds=60, every=0.2
    )

    assert reported(reports) == {"CLICKS": {campaign: 4.0}, "WORTH": {campaign: 10.0}}


def clicked(journey, tracking_id, answer):
    """Send one event that names a recommendation; return whether it was acknowledged."""
    try:
        journey.clients.events.put_events(
            trackingId=tracking_id,
            userId="user-03",
            sessionId="s",
            eventList=[
                {
                    "eventType": "Click", "eventId": answer, "eventValue": 2.5, "itemId": "item-45",
                    "sentAt": int(time.time()), "recommendationId": answer,
                }
            ],
        )  # fmt: skip
    except (ClientError, BotoCoreError):
        return False
    return True


def reported(folder):
    """Return the values of all reports in a folder, added up by metric and source."""
    values = {}
    for path in folder.glob("AggregatedAttributionMetrics - PutEvents - *.csv"):
        for row in csv.DictReader(path.read_text().splitlines()):
            by_source = values.setdefault(row["METRIC_NAME"], {})
            source = row["EVENT_ATTRIBUTION_SOURCE"]
            by_source[source] = by_source.get(source, 0.0) + float(row["VALUE"])
    return values


def test_events_of_a_log_that_was_replaced_have_effect_at_once(system):
    journey = Journey(system.clients(), suffix="replaced")
    journey.create_datasets({"Interactions": SCHEMAS["Interactions"]})
    tracking_id = journey.create_event_tracker()
    for call in range(CALLS):
        send(journey, tracking_id, call)
    solution = journey.create_solution("personal", "aws-user-personalization-v2", hyperparameters=QUICK)
    campaign = journey.create_campaign("films", journey.train(solution))
    before = journey.recommend(campaign, "user-03")

    # The old files go away with the process that has them open.
    for path in (system.installation.root / "events").glob("events.db*"):
        path.unlink()
    kill(system, "events_service")
    wait_until(lambda: accepted(journey, tracking_id, "user-03"), seconds=60, every=0.2)

    wait_until(lambda: journey.recommend(campaign, "user-03").items != before.items, seconds=60)


def test_nothing_is_left_of_the_users_of_a_deleted_group(system):
    journey = Journey(system.clients(), suffix="deleted")
    journey.create_datasets({"Interactions": SCHEMAS["Interactions"]})
    tracking_id = journey.create_event_tracker()
    for number in range(1200):
        journey.put_events(tracking_id, f"marked-user-{number % 50}", [f"item-{number % 60:02}"], event_type=EVENT)
    journey.train(journey.create_solution("popular", "aws-popularity-count"))
    assert marked(system)

    journey.delete_group(journey.dataset_group_arn)

    wait_until(lambda: not marked(system), seconds=180, every=0.5)


def test_nothing_is_left_of_deleted_users_but_what_they_do_afterwards(system, capsys):
    journey = Journey(system.clients(), suffix="leavers")
    journey.create_datasets({"Interactions": SCHEMAS["Interactions"]})
    tracking_id = journey.create_event_tracker()
    bucket = system.installation.buckets / "leavers"
    bucket.mkdir(parents=True)
    lines = [f"leaver-{n % 5},item-{n % 60:02},{1_700_000_000 + n},{EVENT},1" for n in range(300)]
    columns_of_schema = "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE"
    (bucket / "interactions.csv").write_text("\n".join([columns_of_schema, *lines, *_of_others(300)]) + "\n")
    journey.import_csv({"Interactions": "s3://leavers/interactions.csv"})
    # Whom the test looks at is the first, with one call: what comes after the table's one commit waits in the log.
    for number in (1, 0, 2, 3, 4):
        items = [f"item-{number:02}", f"item-{number + 5:02}"]
        journey.put_events(tracking_id, f"leaver-{number}", items, event_type=EVENT)
    (bucket / "users.csv").write_text("USER_ID\n" + "".join(f"leaver-{number}\n" for number in range(5)))
    assert files_with(system, "leaver-")
    group = journey.dataset_group_arn.rpartition("/")[2]
    # The runtime and the table of interactions read the log each at its own pace.
    kept = {"histories of runtime": {2}, "rows of INTERACTIONS": {62}, "event log, INTERACTIONS": {2}, "exit": {3}}
    wait_until(lambda: kept.items() <= shown(system, capsys, "leaver-1", group).items(), seconds=180, every=0.2)

    personalize = journey.clients.personalize
    arn = personalize.create_data_deletion_job(
        jobName="leavers",
        roleArn=ROLE_ARN,
        datasetGroupArn=journey.dataset_group_arn,
        dataSource={"dataLocation": "s3://leavers/users.csv"},
    )["dataDeletionJobArn"]

    def job():
        return personalize.describe_data_deletion_job(dataDeletionJobArn=arn)["dataDeletionJob"]

    wait_until(lambda: job()["status"] in ("COMPLETED", "FAILED"), seconds=90, every=0.2)
    assert (job()["status"], job()["numDeleted"]) == ("COMPLETED", 310)
    assert files_with(system, "leaver-") == []
    assert files_with(system, "stayer-")
    wait_until(lambda: shown(system, capsys, "leaver-1", group)["exit"] == {0}, seconds=60, every=0.2)
    after = shown(system, capsys, "leaver-1", "--job", arn)
    assert after.pop("deletions") == {"leavers"}
    assert set.union(*after.values()) == {0}
    assert shown(system, capsys, "stayer-1", group)["exit"] == {3}
    journey.put_events(tracking_id, "leaver-1", ["item-01"], event_type=EVENT)
    assert files_with(system, "leaver-")
    assert shown(system, capsys, "leaver-1", group)["event log, INTERACTIONS"] == {1}


def shown(system, capsys, user, *where):
    """Return what `tailorbird deletions show` says: the rows by place, the exit code, and the names of deletions."""
    options = where if len(where) > 1 else ("--dataset-group", *where)
    root = str(system.installation.root)
    code = run(app, Env(environ={}), ["deletions", "show", user, *options, "--json", "--data-dir", root])
    document = json.loads(capsys.readouterr().out)
    places = {"exit": {code}, "deletions": {item["name"].rpartition("-")[0] for item in document["deletions"]}}
    for place in document["places"]:
        name = "histories of runtime" if place["place"].startswith("histories") else place["place"]
        places.setdefault(name, set()).add(place["rows"])
    return places


def _of_others(count):
    return [f"stayer-{number},item-{number % 60:02},{1_700_000_000 + number},{EVENT},1" for number in range(count)]


def files_with(system, text):
    """Return the files of all datasets and of the event log that have a text; Parquet as it is read."""
    datasets, log = system.installation.store / "datasets", system.installation.root / "events"
    paths = []
    for path in (*datasets.rglob("*"), *log.rglob("*")):
        if path.is_file():
            shown = str(pl.read_parquet(path).to_dict(as_series=False)) if path.suffix == ".parquet" else ""
            if text.encode() in content(path) or text in shown:
                paths.append(path)
    return paths


def test_files_of_the_services_are_their_owners_whatever_the_umask(system):
    paths = [
        path
        for service in ("events", "runtime", "trainer")
        for path in (system.installation.root / service, *(system.installation.root / service).rglob("*"))
    ]

    assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o600}


def marked(system):
    """Return the files of the data directory, logs included, that name a user of the group."""
    return [path for path in system.installation.root.rglob("*") if path.is_file() and b"marked-user-" in content(path)]


def content(path):
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""  # it went away meanwhile
