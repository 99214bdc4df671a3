"""The steps of Personalize's workflow through boto3, for the demo and for tests of the whole system.

Every step uses the clients that any user of Personalize has, so that the same steps run against Tailorbird and, with
other clients, against Personalize itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from common.errors import InvalidInput, TailorbirdError

__all__ = [
    "Clients",
    "Interrupted",
    "Journey",
    "JourneyFailed",
    "Recommendations",
    "connect",
]

#: Personalize requires a role; Tailorbird does not use it.
ROLE_ARN: Final = "arn:aws:iam::000000000000:role/personalize"
RECIPE_ARN: Final = "arn:aws:personalize:::recipe/"
_POLL_SECONDS: Final = 0.2
_GROUP: Final = "tailorbird-demo"
#: Tag of the dataset groups that a later demo may delete.
_TAG: Final = {"tagKey": "tailorbird:demo", "tagValue": "true"}


class JourneyFailed(TailorbirdError):
    """A step did not succeed; the message has the resource's failureReason, if there is one."""

    reason = "JourneyFailed"


class Interrupted(TailorbirdError):
    """The person interrupted the journey."""

    reason = "Interrupted"


@dataclass(frozen=True, slots=True)
class Clients:
    """The boto3 clients of `personalize`, `personalize-events` and `personalize-runtime`."""

    personalize: Any
    events: Any
    runtime: Any


@dataclass(frozen=True, slots=True)
class Recommendations:
    """A response of GetRecommendations.

    Attributes:
        items: Item ids, best first.
        scores: Scores by item id; empty for recipes that return none.
        recommendation_id: The id of the response; empty when it has none.
    """

    items: tuple[str, ...]
    scores: Mapping[str, float]
    recommendation_id: str


def connect(
    endpoint: str,
    *,
    access_key_id: str,
    secret_access_key: str,
    region: str = "us-east-1",
    ca_file: Path | None = None,
) -> Clients:
    """Return clients of a gateway.

    Args:
        endpoint: URL of the gateway.
        access_key_id: Id of the access key that requests are signed with.
        secret_access_key: Its secret.
        region: Region in the signatures.
        ca_file: Authority of the gateway's certificate; None for those that boto3 trusts.

    Raises:
        InvalidInput: boto3 is not installed.
    """
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise InvalidInput("`boto3`: got no such package, want it installed: pip install 'tailorbird[demo]'") from error
    # No retries, which would hide failed calls.
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30)
    session = boto3.session.Session(
        aws_access_key_id=access_key_id, aws_secret_access_key=secret_access_key, region_name=region
    )
    services = ("personalize", "personalize-events", "personalize-runtime")
    verify = None if ca_file is None else str(ca_file)
    return Clients(*(session.client(name, endpoint_url=endpoint, config=config, verify=verify) for name in services))


@dataclass(slots=True)
class Journey:
    """The steps of one run of the workflow, in the order in which they are called.

    Args:
        clients: The clients, from `connect`.
        suffix: End of the names of all resources, which keeps several runs in one system apart.
        patience_seconds: How long one resource may take to become ACTIVE.
        interrupted: Set by another thread to interrupt a step that waits.

    Attributes:
        dataset_group_arn: ARN of the dataset group; empty before `create_datasets`.
        schemas: ARNs of the schemas by dataset type.
        datasets: ARNs of the datasets by dataset type.
    """

    clients: Clients
    suffix: str
    patience_seconds: float = 900.0
    interrupted: threading.Event = field(default_factory=threading.Event)
    dataset_group_arn: str = ""
    schemas: dict[str, str] = field(default_factory=dict)
    datasets: dict[str, str] = field(default_factory=dict)

    def create_datasets(self, schemas: Mapping[str, str], *, domain: str | None = None) -> None:
        """Create the dataset group, of a domain if given, and for each dataset type an Avro schema and a dataset."""
        personalize = self.clients.personalize
        of_domain = {} if domain is None else {"domain": domain}
        response = personalize.create_dataset_group(name=self._name(_GROUP), tags=[_TAG], **of_domain)
        self.dataset_group_arn = response["datasetGroupArn"]
        self.wait(
            "dataset group",
            lambda: personalize.describe_dataset_group(datasetGroupArn=self.dataset_group_arn)["datasetGroup"],
        )
        for kind, schema in schemas.items():
            response = personalize.create_schema(name=self._name(kind.lower()), schema=schema, **of_domain)
            self.schemas[kind] = response["schemaArn"]
            response = personalize.create_dataset(
                name=self._name(kind.lower()),
                schemaArn=self.schemas[kind],
                datasetGroupArn=self.dataset_group_arn,
                datasetType=kind,
            )
            self.datasets[kind] = response["datasetArn"]
        for arn in self.datasets.values():
            self.wait("dataset", partial(_member, personalize.describe_dataset, "dataset", datasetArn=arn))

    def import_csv(self, locations: Mapping[str, str]) -> None:
        """Import files into the datasets, all at the same time, and wait until all are imported.

        Args:
            locations: `s3://` or `file://` location by dataset type.

        Raises:
            JourneyFailed: An import failed; the message names the bad rows.
        """
        personalize = self.clients.personalize
        jobs = {
            kind: personalize.create_dataset_import_job(
                jobName=self._name(f"import-{kind.lower()}"),
                datasetArn=self.datasets[kind],
                dataSource={"dataLocation": location},
                roleArn=ROLE_ARN,
            )["datasetImportJobArn"]
            for kind, location in locations.items()
        }
        for kind, arn in jobs.items():
            describe = personalize.describe_dataset_import_job
            self.wait(f"import of {kind}", partial(_member, describe, "datasetImportJob", datasetImportJobArn=arn))

    def create_solution(self, name: str, recipe: str, *, hyperparameters: Mapping[str, object] | None = None) -> str:
        """Create a solution without automatic training, wait, and return its ARN."""
        personalize = self.clients.personalize
        config = {"algorithmHyperParameters": {key: str(value) for key, value in (hyperparameters or {}).items()}}
        arn: str = personalize.create_solution(
            name=self._name(name),
            datasetGroupArn=self.dataset_group_arn,
            recipeArn=RECIPE_ARN + recipe,
            performAutoTraining=False,
            **({"solutionConfig": config} if hyperparameters else {}),
        )["solutionArn"]
        self.wait("solution", lambda: personalize.describe_solution(solutionArn=arn)["solution"])
        return arn

    def train(self, solution_arn: str) -> str:
        """Create a solution version, wait until it is trained, and return its ARN."""
        personalize = self.clients.personalize
        arn: str = personalize.create_solution_version(solutionArn=solution_arn)["solutionVersionArn"]
        self.wait(
            "solution version",
            lambda: personalize.describe_solution_version(solutionVersionArn=arn)["solutionVersion"],
        )
        return arn

    def metrics(self, solution_version_arn: str) -> dict[str, float]:
        """Return the offline metrics of a version."""
        response = self.clients.personalize.get_solution_metrics(solutionVersionArn=solution_version_arn)
        return {name: float(value) for name, value in response["metrics"].items()}

    def create_campaign(self, name: str, solution_version_arn: str) -> str:
        """Create a campaign, wait until it serves, and return its ARN."""
        personalize = self.clients.personalize
        arn: str = personalize.create_campaign(
            name=self._name(name), solutionVersionArn=solution_version_arn, minProvisionedTPS=1
        )["campaignArn"]
        self.wait("campaign", lambda: personalize.describe_campaign(campaignArn=arn)["campaign"])
        return arn

    def create_event_tracker(self) -> str:
        """Create the event tracker, wait, and return its tracking id."""
        personalize = self.clients.personalize
        response = personalize.create_event_tracker(name=self._name("tracker"), datasetGroupArn=self.dataset_group_arn)
        arn = response["eventTrackerArn"]
        self.wait("event tracker", lambda: personalize.describe_event_tracker(eventTrackerArn=arn)["eventTracker"])
        return str(response["trackingId"])

    def recommend(self, campaign_arn: str, user: str, *, count: int = 10) -> Recommendations:
        """Return recommendations for a user."""
        response = self.clients.runtime.get_recommendations(campaignArn=campaign_arn, userId=user, numResults=count)
        return Recommendations(
            items=tuple(item["itemId"] for item in response["itemList"]),
            scores={item["itemId"]: item["score"] for item in response["itemList"] if "score" in item},
            recommendation_id=response.get("recommendationId", ""),
        )

    def put_events(self, tracking_id: str, user: str, items: Sequence[str], *, event_type: str) -> None:
        """Send one event per item, a second apart and ending now, in one call; they are durable when this returns."""
        now = int(time.time())
        self.clients.events.put_events(
            trackingId=tracking_id,
            userId=user,
            sessionId=self._name("session"),
            eventList=[
                {"eventType": event_type, "itemId": item, "sentAt": now - len(items) + place + 1}
                for place, item in enumerate(items)
            ],
        )

    def changed_recommendations(
        self, campaign_arn: str, user: str, *, before: Recommendations, acknowledged_at: float
    ) -> tuple[Recommendations, float]:
        """Get recommendations again and again, without a pause, until they have changed.

        Args:
            campaign_arn: ARN of the campaign.
            user: Id of the user.
            before: The recommendations from before the event.
            acknowledged_at: `time.perf_counter()` when PutEvents had returned.

        Returns:
            The changed recommendations, and the milliseconds from the acknowledged event to their arrival.

        Raises:
            JourneyFailed: They did not change in time.
            Interrupted: The person interrupted the journey.
        """
        while True:
            after = self.recommend(campaign_arn, user, count=len(before.items))
            elapsed = time.perf_counter() - acknowledged_at
            if after.items != before.items:
                return after, 1000 * elapsed
            if self.interrupted.is_set():
                raise Interrupted("interrupted")
            if elapsed > self.patience_seconds:
                raise JourneyFailed(f"recommendations: got the same list for {elapsed:.1f} s after the event")

    def delete_group(self, dataset_group_arn: str) -> None:
        """Delete a dataset group and everything in it, dependent resources first, and wait until all is deleted."""
        personalize = self.clients.personalize
        solutions = _list_all(personalize, "list_solutions", "solutions", datasetGroupArn=dataset_group_arn)
        for solution in solutions:
            arn = solution["solutionArn"]
            for campaign in _list_all(personalize, "list_campaigns", "campaigns", solutionArn=arn):
                self._delete("campaign", campaign["campaignArn"])
            self._delete("solution", arn)
        for tracker in _list_all(
            personalize, "list_event_trackers", "eventTrackers", datasetGroupArn=dataset_group_arn
        ):
            self._delete("event_tracker", tracker["eventTrackerArn"])
        for dataset in _list_all(personalize, "list_datasets", "datasets", datasetGroupArn=dataset_group_arn):
            schema = personalize.describe_dataset(datasetArn=dataset["datasetArn"])["dataset"]["schemaArn"]
            self._delete("dataset", dataset["datasetArn"])
            personalize.delete_schema(schemaArn=schema)
        self._delete("dataset_group", dataset_group_arn)

    def delete_earlier_groups(self) -> int:
        """Delete the dataset groups that earlier journeys created and tagged; return their number."""
        personalize = self.clients.personalize
        groups = _list_all(personalize, "list_dataset_groups", "datasetGroups")
        earlier = [
            group["datasetGroupArn"]
            for group in groups
            if group["name"].startswith(f"{_GROUP}-")
            and _TAG in personalize.list_tags_for_resource(resourceArn=group["datasetGroupArn"])["tags"]
        ]
        for arn in earlier:
            self.delete_group(arn)
        return len(earlier)

    def wait(self, what: str, describe: Callable[[], Mapping[str, Any]]) -> None:
        """Wait until a resource is ACTIVE.

        Args:
            what: Name of the resource, for messages.
            describe: Returns the description of the resource, with its status.

        Raises:
            JourneyFailed: It failed, or took too long.
            Interrupted: The person interrupted the journey.
        """
        deadline = time.monotonic() + self.patience_seconds
        while (state := describe())["status"] != "ACTIVE":
            if "FAILED" in state["status"] or "STOPPED" in state["status"]:
                raise JourneyFailed(f"{what}: {state['status']}: {state.get('failureReason', 'no reason given')}")
            if time.monotonic() > deadline:
                raise JourneyFailed(f"{what}: got {state['status']} for {self.patience_seconds:g} s, want ACTIVE")
            self._pause()

    def _delete(self, kind: str, arn: str) -> None:
        """Delete a resource and wait until its Describe operation answers that it does not exist."""
        personalize = self.clients.personalize
        parameter = f"{kind.replace('_', ' ').title().replace(' ', '')}Arn"
        arguments = {parameter[0].lower() + parameter[1:]: arn}
        getattr(personalize, f"delete_{kind}")(**arguments)
        deadline = time.monotonic() + self.patience_seconds
        while time.monotonic() < deadline:
            try:
                getattr(personalize, f"describe_{kind}")(**arguments)
            except personalize.exceptions.ResourceNotFoundException:
                return
            self._pause()
        raise JourneyFailed(f"{arn}: got no deletion within {self.patience_seconds:g} s")

    def _pause(self) -> None:
        # Personalize's API can only be polled; waiting on the event ends the pause when it is set.
        if self.interrupted.wait(_POLL_SECONDS):
            raise Interrupted("interrupted")

    def _name(self, name: str) -> str:
        return f"{name}-{self.suffix}"


def _member(describe: Callable[..., Mapping[str, Any]], member: str, **arguments: str) -> Mapping[str, Any]:
    document: Mapping[str, Any] = describe(**arguments)[member]
    return document


def _list_all(personalize: Any, operation: str, member: str, **arguments: str) -> list[Mapping[str, Any]]:
    pages = personalize.get_paginator(operation).paginate(**arguments)
    return [entry for page in pages for entry in page[member]]
