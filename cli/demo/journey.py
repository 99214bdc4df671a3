"""The main job, step by step, through boto3: the demo shows it, whole-system tests check it.

Every step uses the clients that any user of Personalize has, so the same steps run against Tailorbird and, with
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

#: Personalize demands a role; here nothing is read with it.
ROLE_ARN: Final = "arn:aws:iam::000000000000:role/personalize"
RECIPE_ARN: Final = "arn:aws:personalize:::recipe/"
_POLL_SECONDS: Final = 0.2
_GROUP: Final = "tailorbird-demo"
#: Marks groups that the demo may delete.
_TAG: Final = {"tagKey": "tailorbird:demo", "tagValue": "true"}


class JourneyFailed(TailorbirdError):
    """A resource was not created; the message holds its failureReason."""

    reason = "JourneyFailed"


class Interrupted(TailorbirdError):
    """The person at the screen stopped it."""

    reason = "Interrupted"


@dataclass(frozen=True, slots=True)
class Clients:
    """The three clients of a user of Personalize."""

    personalize: Any
    events: Any
    runtime: Any


@dataclass(frozen=True, slots=True)
class Recommendations:
    """An answer of GetRecommendations.

    Attributes:
        items: Item ids, best first.
        scores: Score by item id; empty for recipes that return none.
        recommendation_id: Its id.
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
    """Make the clients.

    Args:
        endpoint: URL of the gateway.
        access_key_id: Of an access key.
        secret_access_key: Of an access key.
        region: Goes into the signature.
        ca_file: Authority of the gateway's certificate; None takes those that boto3 knows.

    Raises:
        InvalidInput: boto3 is not installed.
    """
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise InvalidInput("`boto3`: got no such package, want it installed: pip install 'tailorbird[demo]'") from error
    # Attempts are for throttled cloud services; a demo that hides failed calls would lie.
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30)
    session = boto3.session.Session(
        aws_access_key_id=access_key_id, aws_secret_access_key=secret_access_key, region_name=region
    )
    services = ("personalize", "personalize-events", "personalize-runtime")
    verify = None if ca_file is None else str(ca_file)
    return Clients(*(session.client(name, endpoint_url=endpoint, config=config, verify=verify) for name in services))


@dataclass(slots=True)
class Journey:
    """The steps, in the order in which they are called.

    Args:
        clients: Made by `connect`.
        suffix: Ends every name, so that journeys in one system do not meet.
        patience_seconds: Longest time for one resource to become ACTIVE.
        interrupted: Set by another thread to end the waiting.
    """

    clients: Clients
    suffix: str
    patience_seconds: float = 900.0
    interrupted: threading.Event = field(default_factory=threading.Event)
    dataset_group_arn: str = ""
    schemas: dict[str, str] = field(default_factory=dict)
    datasets: dict[str, str] = field(default_factory=dict)

    def create_datasets(self, schemas: Mapping[str, str]) -> None:
        """Create the dataset group and, for each dataset type, an Avro schema and a dataset."""
        personalize = self.clients.personalize
        self.dataset_group_arn = personalize.create_dataset_group(name=self._name(_GROUP), tags=[_TAG])[
            "datasetGroupArn"
        ]
        self.wait(
            "dataset group",
            lambda: personalize.describe_dataset_group(datasetGroupArn=self.dataset_group_arn)["datasetGroup"],
        )
        for kind, schema in schemas.items():
            answer = personalize.create_schema(name=self._name(kind.lower()), schema=schema)
            self.schemas[kind] = answer["schemaArn"]
            answer = personalize.create_dataset(
                name=self._name(kind.lower()),
                schemaArn=self.schemas[kind],
                datasetGroupArn=self.dataset_group_arn,
                datasetType=kind,
            )
            self.datasets[kind] = answer["datasetArn"]
        for arn in self.datasets.values():
            self.wait("dataset", partial(_described, personalize.describe_dataset, "dataset", datasetArn=arn))

    def import_csv(self, locations: Mapping[str, str]) -> None:
        """Import one location per dataset type, all at once, and wait.

        Args:
            locations: `s3://` or `file://` by dataset type.

        Raises:
            JourneyFailed: An import failed; the reason names the bad rows.
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
            self.wait(f"import of {kind}", partial(_described, describe, "datasetImportJob", datasetImportJobArn=arn))

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
        answer = self.clients.personalize.get_solution_metrics(solutionVersionArn=solution_version_arn)
        return {name: float(value) for name, value in answer["metrics"].items()}

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
        answer = personalize.create_event_tracker(name=self._name("tracker"), datasetGroupArn=self.dataset_group_arn)
        arn = answer["eventTrackerArn"]
        self.wait("event tracker", lambda: personalize.describe_event_tracker(eventTrackerArn=arn)["eventTracker"])
        return str(answer["trackingId"])

    def recommend(self, campaign_arn: str, user: str, *, count: int = 10) -> Recommendations:
        """Return recommendations for a user."""
        answer = self.clients.runtime.get_recommendations(campaignArn=campaign_arn, userId=user, numResults=count)
        return Recommendations(
            items=tuple(item["itemId"] for item in answer["itemList"]),
            scores={item["itemId"]: item["score"] for item in answer["itemList"] if "score" in item},
            recommendation_id=answer.get("recommendationId", ""),
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
        """Ask again and again, without a pause, until the list is another.

        Args:
            campaign_arn: Of the campaign.
            user: Of the user.
            before: The list from before the event.
            acknowledged_at: `time.perf_counter()` when PutEvents had returned.

        Returns:
            The changed list, and the milliseconds from the acknowledged event to its arrival.

        Raises:
            JourneyFailed: It stayed the same.
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
        """Delete a dataset group with all that belongs to it, in the order that dependence demands, and wait."""
        personalize = self.clients.personalize
        solutions = _listed(personalize, "list_solutions", "solutions", datasetGroupArn=dataset_group_arn)
        for solution in solutions:
            arn = solution["solutionArn"]
            for campaign in _listed(personalize, "list_campaigns", "campaigns", solutionArn=arn):
                self._delete("campaign", campaign["campaignArn"])
            self._delete("solution", arn)
        for tracker in _listed(personalize, "list_event_trackers", "eventTrackers", datasetGroupArn=dataset_group_arn):
            self._delete("event_tracker", tracker["eventTrackerArn"])
        for dataset in _listed(personalize, "list_datasets", "datasets", datasetGroupArn=dataset_group_arn):
            schema = personalize.describe_dataset(datasetArn=dataset["datasetArn"])["dataset"]["schemaArn"]
            self._delete("dataset", dataset["datasetArn"])
            personalize.delete_schema(schemaArn=schema)
        self._delete("dataset_group", dataset_group_arn)

    def delete_groups_of_journeys(self) -> int:
        """Delete the dataset groups that earlier journeys made and tagged; return how many."""
        personalize = self.clients.personalize
        groups = _listed(personalize, "list_dataset_groups", "datasetGroups")
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
        """Return when a resource is ACTIVE.

        Raises:
            JourneyFailed: It failed, or took too long.
            Interrupted: The person stopped it.
        """
        deadline = time.monotonic() + self.patience_seconds
        while (state := describe())["status"] != "ACTIVE":
            if "FAILED" in state["status"] or "STOPPED" in state["status"]:
                raise JourneyFailed(f"{what}: {state['status']}: {state.get('failureReason', 'no reason given')}")
            if time.monotonic() > deadline:
                raise JourneyFailed(f"{what}: got {state['status']} for {self.patience_seconds:g} s, want ACTIVE")
            self._pause()

    def _delete(self, kind: str, arn: str) -> None:
        """Delete a resource and wait until describing it says that there is none: so deletion shows in Personalize."""
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
        # Polling is what Personalize's interface offers; waiting on the event makes the pause end with an interruption.
        if self.interrupted.wait(_POLL_SECONDS):
            raise Interrupted("interrupted")

    def _name(self, name: str) -> str:
        return f"{name}-{self.suffix}"


def _described(describe: Callable[..., Mapping[str, Any]], member: str, **arguments: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = describe(**arguments)[member]
    return found


def _listed(personalize: Any, operation: str, member: str, **arguments: str) -> list[Mapping[str, Any]]:
    pages = personalize.get_paginator(operation).paginate(**arguments)
    return [entry for page in pages for entry in page[member]]
