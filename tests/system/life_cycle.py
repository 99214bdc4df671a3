"""The life of a dataset group through the AWS CLI, as somebody would type it: from its creation to its deletion.

    python life_cycle.py ENDPOINT INTERACTIONS SCHEMA

ENDPOINT is the gateway's URL, INTERACTIONS the s3:// place of a CSV file, SCHEMA the file of its Avro schema. Every
step says what it does; the first one that fails ends the program. Each command is given to the CLI's own driver in
this one process: to start one for each would take longer than all else.
"""

import contextlib
import io
import json
import sys
import time
from pathlib import Path

from awscli.clidriver import create_clidriver

#: Seconds for anything to come to its end on a busy machine.
PATIENCE = 250
ROLE = "arn:aws:iam::000000000000:role/personalize"


class Failed(Exception):
    """A command ended with an error, which it has written."""


class Aws:
    """The AWS CLI, called for one endpoint; what it writes is returned, as text without the last line's end."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._driver = create_clidriver()

    def __call__(self, *words: str) -> str:
        output, complaints = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(complaints):
            code = self._driver.main(["--endpoint-url", self._endpoint, "--output", "text", *words])
        if code:
            raise Failed(complaints.getvalue())
        assert complaints.getvalue() == "", complaints.getvalue()
        return output.getvalue().removesuffix("\n")

    def refused(self, *words: str) -> str:
        """Return what is written of a command that is to fail."""
        try:
            answer = self(*words)
        except Failed as error:
            return str(error)
        raise AssertionError(f"{words} was taken, with {answer!r}")


class Life:
    """Commands of Personalize, one after the other."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws

    def __call__(self, command: str, **options: str) -> str:
        """Give a command of Personalize with its options, and return what it writes."""
        return self.aws("personalize", command, *_words(options))

    def create(self, kind: str, **options: str) -> str:
        """Create a resource and return its ARN."""
        return self(f"create-{kind}", query=f"{_camel(kind)}Arn", **options)

    def create_schema(self, name: str, schema: str, **options: str) -> str:
        return self("create-schema", name=name, schema=schema, query="schemaArn", **options)

    def until(self, kind: str, arn: str, *, status: str = "ACTIVE", query: str = "*.status") -> None:
        """Wait until a resource has a status."""
        ends = time.monotonic() + PATIENCE
        while (now := self.describe(kind, arn, query)) != status:
            assert "FAILED" not in now, self.describe(kind, arn, "*.failureReason")
            assert time.monotonic() < ends, f"{arn} is still {now}"
            time.sleep(0.2)

    def until_gone(self, kind: str, arn: str) -> None:
        """Wait until there is no such resource."""
        ends = time.monotonic() + PATIENCE
        while "ResourceNotFoundException" not in (now := self.described(kind, arn)):
            assert time.monotonic() < ends, f"{arn} is still there: {now}"
            time.sleep(0.2)

    def described(self, kind: str, arn: str) -> str:
        """Return the status of a resource, or why there is none."""
        try:
            return self.describe(kind, arn, "*.status")
        except Failed as error:
            return str(error)

    def describe(self, kind: str, arn: str, query: str) -> str:
        return self(f"describe-{kind}", query=query, **{f"{kind}-arn": arn})

    def delete(self, kind: str, arn: str) -> None:
        self(f"delete-{kind}", **{f"{kind}-arn": arn})

    def listed(self, command: str, query: str, **options: str) -> list[str]:
        return self(command, query=query, **options).split()


def _words(options: dict[str, str]) -> list[str]:
    """Return options as words of a command line; one without a value is a switch."""
    return [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value) if word]


def _camel(kind: str) -> str:
    first, *others = kind.split("-")
    return first + "".join(other.title() for other in others)


def items_schema(*fields: dict) -> str:
    """Return the schema of an Items dataset, with further fields."""
    genres = {"name": "GENRES", "type": ["null", "string"], "categorical": True}
    fields = [{"name": "ITEM_ID", "type": "string"}, genres, *fields]
    return json.dumps({"type": "record", "name": "Items", "version": "1.0", "fields": fields})


def step(text: str) -> None:
    print("==", text, flush=True)


def main(endpoint: str, interactions: str, schema_file: str) -> None:
    aws = Aws(endpoint)
    life = Life(aws)
    step("what is wrong is refused, in AWS's words")
    message = aws.refused("personalize", "create-dataset-group", "--name", "no blanks")
    assert "(InvalidInputException)" in message, message
    assert "Value 'no blanks' at 'name' failed to satisfy constraint" in message, message

    group, schema, dataset, imported = data(life, interactions, Path(schema_file))
    solution, version = trained(life, group)
    others = filter_and_metrics_and_items(life, group)
    campaign = served(life, version)
    videos, videos_schema, videos_dataset, recommender = domain(life, interactions, schema_file)
    tracker = events(life, group)

    step("lists")
    for command, query, arn, options in (
        ("list-dataset-groups", "datasetGroups[].datasetGroupArn", group, {}),
        ("list-schemas", "schemas[].schemaArn", schema, {}),
        ("list-datasets", "datasets[].datasetArn", dataset, {"dataset_group_arn": group}),
        ("list-dataset-import-jobs", "datasetImportJobs[].datasetImportJobArn", imported, {}),
        ("list-solutions", "solutions[].solutionArn", solution, {}),
        ("list-solution-versions", "solutionVersions[].solutionVersionArn", version, {}),
        ("list-campaigns", "campaigns[].campaignArn", campaign, {}),
        ("list-recommenders", "recommenders[].recommenderArn", recommender, {"dataset_group_arn": videos}),
        ("list-filters", "Filters[].filterArn", others["filter"], {"dataset_group_arn": group}),
        ("list-metric-attributions", "metricAttributions[].metricAttributionArn", others["metrics"], {}),
        ("list-event-trackers", "eventTrackers[].eventTrackerArn", tracker, {}),
    ):
        arns = life.listed(command, query, **options)
        assert arn in arns, f"{command}: got {arns}, want {arn} among them"
    assert len(life("list-recipes", page_size="5", query="recipes[].name").split()) > 10, "pages are missing"

    step("deletion")
    kinds = {"campaign": campaign, "recommender": recommender, "solution": solution, "event-tracker": tracker}
    for kind, arn in kinds.items():
        life.delete(kind, arn)
        life.until_gone(kind, arn)
    life.delete("filter", others["filter"])
    life.delete("metric-attribution", others["metrics"])
    for arn in (others["items"], dataset, videos_dataset):
        life.delete("dataset", arn)
    for arn in (others["items"], dataset, videos_dataset):
        life.until_gone("dataset", arn)
    for arn in (schema, others["schema"], others["more_schema"], videos_schema):
        life.delete("schema", arn)
    for arn in (videos, group):
        life.delete("dataset-group", arn)
        life.until_gone("dataset-group", arn)
    step("done")


def data(life: Life, interactions: str, schema_file: Path) -> tuple[str, str, str, str]:
    step("dataset group, schema, dataset")
    group = life.create("dataset-group", name="cli", tags="tagKey=team,tagValue=shop")
    life.until("dataset-group", group)
    assert life("list-tags-for-resource", resource_arn=group, query="tags[].tagValue") == "shop"
    schema = life.create_schema("cli", f"file://{schema_file}")
    dataset = life.create(
        "dataset", name="cli", dataset_type="Interactions", schema_arn=schema, dataset_group_arn=group
    )
    life.until("dataset", dataset)
    step("import")
    return group, schema, dataset, bring(life, "cli", dataset, interactions)


def bring(life: Life, name: str, dataset: str, interactions: str) -> str:
    job = life.create(
        "dataset-import-job", job_name=name, dataset_arn=dataset, role_arn=ROLE,
        data_source=f"dataLocation={interactions}",
    )  # fmt: skip
    life.until("dataset-import-job", job)
    return job


def trained(life: Life, group: str) -> tuple[str, str]:
    step("solution, solution version, metrics")
    solution = life.create(
        "solution", name="cli", dataset_group_arn=group, no_perform_auto_training="",
        recipe_arn="arn:aws:personalize:::recipe/aws-popularity-count",
    )  # fmt: skip
    version = life.create("solution-version", solution_arn=solution)
    life.until("solution-version", version)
    coverage = life("get-solution-metrics", solution_version_arn=version, query="metrics.coverage")
    assert coverage.startswith("0."), coverage

    rate = "rate(30 days)"
    updated = life(
        "update-solution", solution_arn=solution, query="solutionArn",
        solution_update_config=f"autoTrainingConfig={{schedulingExpression={rate}}}",
    )  # fmt: skip
    assert updated == solution
    change = "solution.latestSolutionUpdate.solutionUpdateConfig.autoTrainingConfig.schedulingExpression"
    assert life.describe("solution", solution, change) == rate
    return solution, version


def filter_and_metrics_and_items(life: Life, group: str) -> dict[str, str]:
    step("filter, metric attribution, another schema")
    made = life.create(
        "filter", name="cli", dataset_group_arn=group,
        filter_expression='EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")',
    )  # fmt: skip
    life.until("filter", made)
    metrics = life.create(
        "metric-attribution", name="cli", dataset_group_arn=group, metrics_output_config=f"roleArn={ROLE}",
        metrics="metricName=views,eventType=watch,expression=SAMPLECOUNT()",
    )  # fmt: skip
    life(
        "update-metric-attribution", metric_attribution_arn=metrics, remove_metrics="views",
        add_metrics="metricName=clicks,eventType=click,expression=SAMPLECOUNT()",
    )  # fmt: skip
    names = life("list-metric-attribution-metrics", metric_attribution_arn=metrics, query="metrics[].metricName")
    assert names == "clicks"
    schema = life.create_schema("cli-items", items_schema())
    more_schema = life.create_schema("cli-more", items_schema({"name": "PRICE", "type": ["null", "float"]}))
    items = life.create("dataset", name="cli-items", dataset_type="Items", schema_arn=schema, dataset_group_arn=group)
    life("update-dataset", dataset_arn=items, schema_arn=more_schema)
    changed = life.describe("dataset", items, "dataset.[schemaArn,latestDatasetUpdate.status]")
    assert changed == f"{more_schema}\tACTIVE", changed
    return {"filter": made, "metrics": metrics, "schema": schema, "more_schema": more_schema, "items": items}


def served(life: Life, version: str) -> str:
    step("campaign, recommendations")
    campaign = life.create("campaign", name="cli", solution_version_arn=version, min_provisioned_tps="1")
    life.until("campaign", campaign)
    assert recommended(life, campaign_arn=campaign) == "5"
    return campaign


def recommended(life: Life, **options: str) -> str:
    words = _words({**options, "user_id": "user-0001", "num_results": "5", "query": "length(itemList)"})
    return life.aws("personalize-runtime", "get-recommendations", *words)


def domain(life: Life, interactions: str, schema_file: str) -> tuple[str, str, str, str]:
    step("recommender of a domain")
    videos = life.create("dataset-group", name="cli-videos", domain="VIDEO_ON_DEMAND")
    schema = life.create_schema("cli-videos", f"file://{schema_file}", domain="VIDEO_ON_DEMAND")
    dataset = life.create(
        "dataset", name="cli-videos", dataset_type="Interactions", schema_arn=schema, dataset_group_arn=videos
    )
    bring(life, "cli-videos", dataset, interactions)
    recommender = life.create(
        "recommender", name="cli", dataset_group_arn=videos,
        recipe_arn="arn:aws:personalize:::recipe/aws-vod-most-popular",
    )  # fmt: skip
    life.until("recommender", recommender)
    coverage = life.describe("recommender", recommender, "recommender.modelMetrics.coverage")
    assert coverage.startswith("0."), coverage
    assert recommended(life, recommender_arn=recommender) == "5"

    config = "recommenderConfig.minRecommendationRequestsPerSecond"
    life("update-recommender", recommender_arn=recommender, recommender_config=f"{config.partition('.')[2]}=2")
    life.until("recommender", recommender, query="recommender.latestRecommenderUpdate.status")
    assert life.describe("recommender", recommender, f"recommender.{config}") == "2"

    life("stop-recommender", recommender_arn=recommender)
    life.until("recommender", recommender, status="INACTIVE")
    words = ("--recommender-arn", recommender, "--user-id", "u")
    message = life.aws.refused("personalize-runtime", "get-recommendations", *words)
    assert "ResourceNotFoundException" in message, message
    life("start-recommender", recommender_arn=recommender)
    life.until("recommender", recommender)
    return videos, schema, dataset, recommender


def events(life: Life, group: str) -> str:
    step("events")
    tracker, tracking_id = life(
        "create-event-tracker", name="cli", dataset_group_arn=group, query="[eventTrackerArn,trackingId]"
    ).split()
    life.until("event-tracker", tracker)
    event = f"eventType=watch,itemId=film-0001,sentAt={int(time.time())}"
    words = ("--tracking-id", tracking_id, "--user-id", "user-0001", "--session-id", "cli", "--event-list", event)
    life.aws("personalize-events", "put-events", *words)
    return tracker


if __name__ == "__main__":
    main(*sys.argv[1:])
