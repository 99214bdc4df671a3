"""The whole life of a dataset group through boto3: from an empty system to a deleted group, with accidents on the way.

One running system for all tests of the module; they build on each other and so run as one story, in one test.
"""

import json
import signal
import time

import psutil
import pytest
from botocore.exceptions import ClientError

from benchmarks.system import running_system
from cli.demo.generated import generate
from cli.demo.items import EVENT, SCHEMAS
from cli.demo.journey import ROLE_ARN, Journey, JourneyFailed
from common import columns
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.tables import Table
from common.testing import wait_until

QUICK = {"embedding_size": 16, "layers": 1, "heads": 1, "epochs": 3, "max_length": 20}
STANDARD_METRICS = {
    "coverage", "mean_reciprocal_rank_at_25",
    *(f"normalized_discounted_cumulative_gain_at_{cut}" for cut in (5, 10, 25)),
    *(f"precision_at_{cut}" for cut in (5, 10, 25)),
}  # fmt: skip


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    # A job whose trainer is killed waits for the end of its lease.
    with running_system(tmp_path_factory.mktemp("lifecycle"), settings={"TAILORBIRD_LEASE_SECONDS": "10"}) as running:
        yield running


@pytest.fixture
def journey(system, request):
    return Journey(system.clients(), suffix=request.node.name.replace("_", "-")[5:30].strip("-"))


def rejection(call, **arguments):
    """Return the exception's name and message of a call that is refused."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def processes(system, name):
    """Return the running processes of one of the five."""
    store = str(system.installation.store)
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        # The guard that starts it carries the same words behind its own.
        if (process.info["cmdline"] or [])[1:] == ["-m", name] and store in _environment(process).values()
    ]


def interactions(system):
    """Return the location of the one interactions table."""
    (folder,) = {
        path.parent.parent
        for path in (system.installation.store / "datasets").rglob("_delta_log/*.json")
        if columns.USER_ID in path.read_text() and columns.TIMESTAMP in path.read_text()
    }
    return folder.relative_to(system.installation.store).as_posix()


def import_broken(journey, file):
    """Import a copy of the file in whose 18th line the timestamp is none."""
    lines = file.read_text().splitlines()
    lines[17] = lines[17].replace(lines[17].split(",")[2], "yesterday")
    file.with_name("broken.csv").write_text("\n".join(lines) + "\n")
    personalize = journey.clients.personalize
    job = personalize.create_dataset_import_job(
        jobName="broken",
        datasetArn=journey.datasets["Interactions"],
        dataSource={"dataLocation": "s3://films/broken.csv"},
        roleArn=ROLE_ARN,
    )["datasetImportJobArn"]
    journey.wait("import", lambda: personalize.describe_dataset_import_job(datasetImportJobArn=job)["datasetImportJob"])


def put_events_and_kill_the_log(system, journey, campaign, data):
    """See the list change by events, and both list and table keep them when the events service dies."""
    tracking_id = journey.create_event_tracker()
    before = journey.recommend(campaign, "user-0003", count=10)
    _, watched = data.unfamiliar_genre("user-0003", count=3)
    journey.put_events(tracking_id, "user-0003", watched, event_type=EVENT)
    after, _ = journey.changed_recommendations(
        campaign, "user-0003", before=before, acknowledged_at=time.perf_counter()
    )
    assert after.items != before.items
    (events,) = processes(system, "events_service")
    events.send_signal(signal.SIGKILL)
    wait_until(lambda: _streamed(system) == 3, seconds=90, every=0.5)
    # The supervisor brings it back, and the list still knows the events.
    wait_until(lambda: processes(system, "events_service"), seconds=60)
    assert journey.recommend(campaign, "user-0003", count=10).items == after.items


def answer_a_file(system, journey, campaign, version):
    """See a batch job answer many users as the campaign does, of whom one has just sent events."""
    personalize, users = journey.clients.personalize, [f"user-{number:04}" for number in range(1, 9)]
    place = system.installation.buckets / "films" / "ask"
    place.mkdir()
    (place / "users.json").write_text("".join(json.dumps({"userId": user}) + "\n" for user in users))
    arn = personalize.create_batch_inference_job(
        jobName=journey.dataset_group_arn.rpartition("/")[2],
        solutionVersionArn=version,
        roleArn=ROLE_ARN,
        jobInput={"s3DataSource": {"path": "s3://films/ask/"}},
        jobOutput={"s3DataDestination": {"path": "s3://films/answers/"}},
    )["batchInferenceJobArn"]
    journey.wait(
        "batch inference job",
        lambda: personalize.describe_batch_inference_job(batchInferenceJobArn=arn)["batchInferenceJob"],
    )
    output = system.installation.buckets / "films" / "answers"
    assert sorted(path.name for path in output.iterdir()) == ["_CHECK", "users.json.out"]
    lines = [json.loads(line) for line in (output / "users.json.out").read_text().splitlines()]
    assert [line["input"]["userId"] for line in lines] == users
    for user, line in zip(users, lines, strict=True):
        served = journey.recommend(campaign, user, count=25)
        shown = dict(zip(line["output"]["recommendedItems"], line["output"]["scores"], strict=True))
        assert len(shown) == len(served.items) == 25
        # What is explored, once in a thousand places, has no score; it is drawn by lot.
        pairs = zip(shown.items(), served.items, strict=True)
        assert all(
            (item, score) == (other, served.scores[other])
            for (item, score), other in pairs
            if score is not None and other in served.scores
        )


def delete_everything(system, journey, *, campaign, solution):
    """See that nothing in use can be deleted, then delete the whole group, until no file is left."""
    personalize = journey.clients.personalize
    for call, arguments in (
        (personalize.delete_dataset_group, {"datasetGroupArn": journey.dataset_group_arn}),
        (personalize.delete_solution, {"solutionArn": solution}),
        (personalize.delete_schema, {"schemaArn": journey.schemas["Items"]}),
    ):
        assert rejection(call, **arguments)[0] == "ResourceInUseException"
    journey.delete_group(journey.dataset_group_arn)
    code, message = rejection(journey.clients.runtime.get_recommendations, campaignArn=campaign, userId="user-0001")
    assert (code, campaign in message) == ("ResourceNotFoundException", True)
    assert journey.dataset_group_arn not in str(personalize.list_dataset_groups()["datasetGroups"])
    wait_until(lambda: not _rest(system), seconds=60, every=0.5)


def test_whole_life(system, journey):
    personalize = journey.clients.personalize
    data = generate(users=150, genres=4, series=4)
    files = data.write_csv(system.installation.buckets / "films")
    locations = {kind: f"s3://films/{path.name}" for kind, path in files.items()}
    journey.create_datasets(SCHEMAS)

    # A name that is taken, and a file with a bad row: told by name and place, and nothing is left behind.
    code, message = rejection(personalize.create_dataset_group, name=journey.dataset_group_arn.rpartition("/")[2])
    assert (code, journey.dataset_group_arn in message) == ("ResourceAlreadyExistsException", True)
    with pytest.raises(JourneyFailed, match=r"(?s)CREATE FAILED.*18.*TIMESTAMP"):
        import_broken(journey, files["Interactions"])
    journey.import_csv(locations)

    # Two recipes, measured by the same keys.
    popular = journey.train(journey.create_solution("popular", "aws-popularity-count"))
    solution = journey.create_solution("personal", "aws-user-personalization-v2", hyperparameters=QUICK)
    version = journey.train(solution)
    metrics, baseline = journey.metrics(version), journey.metrics(popular)
    assert set(metrics) == set(baseline) == STANDARD_METRICS
    assert (
        metrics["normalized_discounted_cumulative_gain_at_25"] > baseline["normalized_discounted_cumulative_gain_at_25"]
    )

    # Campaigns serve, personally with one recipe and alike for all with the other.
    campaign, charts = journey.create_campaign("films", version), journey.create_campaign("charts", popular)
    first, second = (journey.recommend(campaign, user, count=25) for user in ("user-0001", "user-0002"))
    assert first.items != second.items
    assert sorted(first.scores.values(), reverse=True) == list(first.scores.values())
    first, second = (journey.recommend(charts, user, count=25) for user in ("user-0001", "user-0002"))
    assert (first.items, first.scores) == (second.items, {})

    # Events change the list at once, and reach the table once, whatever dies.
    put_events_and_kill_the_log(system, journey, campaign, data)

    # A file of users is answered as the campaign answers each of them.
    answer_a_file(system, journey, campaign, version)

    # A trainer that is killed in the middle of its work: the job is done again.
    running = personalize.create_solution_version(solutionArn=solution)["solutionVersionArn"]
    wait_until(lambda: _status(personalize, running) == "CREATE IN_PROGRESS", seconds=60)
    for process in processes(system, "trainer"):
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: _status(personalize, running) == "ACTIVE", seconds=180, every=0.5)
    assert set(journey.metrics(running)) == STANDARD_METRICS

    # The campaign goes over to the new version, and answers all the time.
    personalize.update_campaign(campaignArn=campaign, solutionVersionArn=running)
    wait_until(lambda: journey.recommend(campaign, "user-0003").items and _updated(personalize, campaign), seconds=60)

    # What is used cannot be deleted; in the right order everything can, and then it is gone.
    delete_everything(system, journey, campaign=campaign, solution=solution)


def test_what_is_not_built_says_so(system):
    personalize = system.clients().personalize
    with pytest.raises(ClientError, match="CreateRecommender"):
        personalize.create_recommender(
            name="r", datasetGroupArn="arn:aws:personalize:us-east-1:000000000000:dataset-group/x",
            recipeArn="arn:aws:personalize:::recipe/aws-ecomm-popular-items-by-views",
        )  # fmt: skip


def test_the_demo_deletes_only_groups_that_it_made(system, journey):
    personalize = journey.clients.personalize
    precious = personalize.create_dataset_group(name="tailorbird-demo-precious")["datasetGroupArn"]
    journey.create_datasets({})

    deleted = journey.delete_earlier_groups()

    left = [group["datasetGroupArn"] for group in personalize.list_dataset_groups()["datasetGroups"]]
    assert (deleted, left) == (1, [precious])
    journey.delete_group(precious)


def test_no_key_no_entry(system):
    clients = system.clients()
    clients.personalize._request_signer._credentials.secret_key = "wrong"
    assert rejection(clients.personalize.list_dataset_groups)[0] in {
        "InvalidSignatureException", "SignatureDoesNotMatch",
    }  # fmt: skip


def _environment(process):
    try:
        return process.environ()
    except psutil.Error:
        return {}  # it has ended, or is another user's


def _updated(personalize, campaign):
    return personalize.describe_campaign(campaignArn=campaign)["campaign"]["latestCampaignUpdate"]["status"] == "ACTIVE"


def _status(personalize, version):
    return personalize.describe_solution_version(solutionVersionArn=version)["solutionVersion"]["status"]


def _streamed(system):
    table = Table(open_store(StoreSettings(store_url=str(system.installation.store))), interactions(system))
    return int((table.read()[columns.SOURCE] == columns.SOURCE_PUT).sum())


def _rest(system):
    """Return the files that are left of datasets and artifacts."""
    return [path for path in system.installation.store.rglob("*") if path.is_file()]
