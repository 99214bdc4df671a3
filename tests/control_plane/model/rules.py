"""The rules that hold for every kind of resource, stated once more and independently of the control plane.

The model is plain Python in memory: whoever wants to know what an operation does can read it here. It takes a call as
Personalize's JSON and gives the response as Personalize's JSON, or refuses it. A call is judged in this order, and the
first rule that it breaks is the error of its response:

1. Its members are well formed: else InvalidInputException.
2. What it names exists in the caller's account: else ResourceNotFoundException. Another account's does not exist.
3. What it names is in a state that allows the call: else ResourceInUseException.
4. Its members fit together and fit what they name: else InvalidInputException.
5. The new resource's name is free: else ResourceAlreadyExistsException.
6. What is to be trained finds data to learn from: else InvalidInputException.
7. The quota is not used up: else LimitExceededException.

What only the service can choose (the ids in ARNs, tokens of pages) is taken from its response.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Document = dict[str, Any]

INVALID = "InvalidInputException"
INVALID_TOKEN = "InvalidNextTokenException"
NOT_FOUND = "ResourceNotFoundException"
IN_USE = "ResourceInUseException"
EXISTS = "ResourceAlreadyExistsException"
LIMIT = "LimitExceededException"
TOO_MANY_TAGS = "TooManyTagsException"
LEASE_LOST = "LeaseLost"

PENDING, IN_PROGRESS, ACTIVE, FAILED = "CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE", "CREATE FAILED"
STOPPING, STOPPED = "CREATE STOPPING", "CREATE STOPPED"
DELETE_PENDING, DELETE_IN_PROGRESS = "DELETE PENDING", "DELETE IN_PROGRESS"
START_PENDING, START_IN_PROGRESS = "START PENDING", "START IN_PROGRESS"
STOP_PENDING, STOP_IN_PROGRESS, INACTIVE = "STOP PENDING", "STOP IN_PROGRESS", "INACTIVE"
#: A resource in one of these states is being made, and what it is made of may not go.
UNDER_WAY = frozenset({PENDING, IN_PROGRESS, STOPPING, "PENDING", "IN_PROGRESS"})

REGION = "eu-west-1"


class Refused(Exception):
    """A call that the rules do not allow.

    Args:
        reason: Name of the exception that callers get.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Mentions:
    """Equal to every text in which all of the parts occur: for reasons whose wording is left to the service."""

    def __init__(self, *parts: str) -> None:
        self._parts = parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and all(part in other for part in self._parts)

    def __hash__(self) -> int:
        return hash(self._parts)

    def __repr__(self) -> str:
        return f"Mentions{self._parts}"


@dataclass(frozen=True)
class Kind:
    """A kind of resource.

    Attributes:
        word: As in the names of its operations.
        name: As in its ARNs.
        summary: Members of a description that lists have, besides those that all have.
        parents: Members of a list's request that narrow it to what belongs to one resource.
    """

    word: str
    name: str
    summary: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    has_status: bool = True
    has_tags: bool = True
    is_newest_first: bool = False

    @property
    def member(self) -> str:
        """Member of Describe's response."""
        return self.word[0].lower() + self.word[1:]

    @property
    def arn_member(self) -> str:
        return f"{self.member}Arn"

    @property
    def list_member(self) -> str:
        return "Filters" if self.word == "Filter" else f"{self.member}s"


KINDS = {
    kind.word: kind
    for kind in (
        Kind("DatasetGroup", "dataset-group", ("name", "domain", "failureReason")),
        Kind("Schema", "schema", ("name", "domain"), has_status=False, has_tags=False),
        Kind("Dataset", "dataset", ("name", "datasetType"), ("datasetGroupArn",)),
        Kind("DatasetImportJob", "dataset-import-job", ("jobName", "failureReason", "importMode"), ("datasetArn",)),
        Kind("EventTracker", "event-tracker", ("name",), ("datasetGroupArn",)),
        Kind("Solution", "solution", ("name", "recipeArn"), ("datasetGroupArn",)),
        Kind("SolutionVersion", "solution", ("trainingMode", "trainingType", "failureReason"), ("solutionArn",)),
        Kind("Campaign", "campaign", ("name", "failureReason"), ("solutionArn",)),
        Kind(
            "Recommender",
            "recommender",
            ("name", "datasetGroupArn", "recipeArn", "recommenderConfig"),
            ("datasetGroupArn",),
        ),
        Kind("Filter", "filter", ("name", "datasetGroupArn", "failureReason"), ("datasetGroupArn",)),
        Kind("MetricAttribution", "metric-attribution", ("name",), ("datasetGroupArn",), has_tags=False),
        Kind("DatasetExportJob", "dataset-export-job", ("jobName", "failureReason"), ("datasetArn",)),
        Kind(
            "DataDeletionJob",
            "data-deletion-job",
            ("jobName", "datasetGroupArn", "failureReason"),
            ("datasetGroupArn",),
            is_newest_first=True,
        ),
        Kind(
            "BatchInferenceJob",
            "batch-inference-job",
            ("jobName", "solutionVersionArn", "batchInferenceJobMode", "failureReason"),
            ("solutionVersionArn",),
        ),
        Kind(
            "BatchSegmentJob",
            "batch-segment-job",
            ("jobName", "solutionVersionArn", "failureReason"),
            ("solutionVersionArn",),
        ),
    )
}


@dataclass(eq=False)
class Resource:
    """A resource that exists.

    Attributes:
        kind: Its kind.
        account: The account that it belongs to.
        described: What Describe answers.
        parents: ARNs of the resources that it belongs to, by their members in requests.
        tags: Its tags.
    """

    kind: Kind
    account: str
    described: Document
    parents: dict[str, str]
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return self.described[self.kind.arn_member]

    @property
    def status(self) -> str:
        return self.described["status"]

    @property
    def position(self) -> tuple[datetime, str]:
        """Place in lists: the oldest come first, those of one moment by ARN."""
        return (self.described["creationDateTime"], self.arn)


class Rules:
    """What exists, and the rules of all kinds.

    Args:
        clock: The clock of the service.
        quotas: How many there may be, by name of the quota.
        trained: Returns the ARNs of all versions in the service, those that no call can name included.
    """

    def __init__(self, clock, quotas: Mapping[str, int], trained: Callable[[], list[str]]) -> None:
        self.clock = clock
        self.quotas = quotas
        self.trained = trained
        self.resources: dict[str, Resource] = {}
        #: Of each token that the service gave: the list that it continues, and the place after which it does.
        self.tokens: dict[str, tuple[tuple[object, ...], tuple[datetime, str]]] = {}
        self.account = ""
        self.response: Document = {}

    def call(self, account: str, operation: str, request: Document, response: Document) -> Document:
        """Return what an operation has to answer.

        Args:
            account: Who calls.
            operation: Its name.
            request: Its request.
            response: What the service answered; empty when it refused the call.

        Raises:
            Refused: The rules do not allow the call.
        """
        self.account, self.response = account, response
        verb, word = re.fullmatch(r"(Describe|List|[A-Z][a-z]+)(\w+)", operation).groups()
        if verb == "Describe":
            return self.describe(KINDS[word], request)
        if verb == "List" and word.removesuffix("s") in KINDS:
            return self.list(KINDS[word.removesuffix("s")], request)
        return getattr(self, re.sub(r"(?<!^)([A-Z])", r"_\1", operation).lower())(request) or {}

    def now(self) -> datetime:
        return self.clock.now()

    # What exists

    def find(self, kind: Kind, arn: str) -> Resource:
        """Return the caller's resource of this ARN."""
        if not re.fullmatch(rf"arn:aws:personalize:[a-z0-9-]+:\d{{12}}:{kind.name}/.+", arn):
            raise Refused(INVALID)
        resource = self.resources.get(arn)
        if resource is None or resource.kind is not kind or resource.account != self.account:
            raise Refused(NOT_FOUND)
        return resource

    def all(self, word: str, **parents: str) -> list[Resource]:
        """Return the caller's resources of a kind in the order of lists: all, or what belongs to others."""
        listed = [
            resource
            for resource in self.resources.values()
            if resource.kind is KINDS[word]
            and resource.account == self.account
            and all(resource.parents.get(member) == arn for member, arn in parents.items())
        ]
        return sorted(listed, key=lambda resource: resource.position, reverse=KINDS[word].is_newest_first)

    def add(self, word: str, described: Document, *, tags: list[Document], **parents: str) -> Resource:
        """Let a resource exist, which no other of the ARN does yet."""
        now = self.now()
        kind = KINDS[word]
        times = {"creationDateTime": now, "lastUpdatedDateTime": now}
        resource = Resource(kind, self.account, without_none({**described, **times}), parents)
        if resource.arn in self.resources:
            raise Refused(EXISTS)
        resource.tags = {tag["tagKey"]: tag["tagValue"] for tag in tags}
        self.resources[resource.arn] = resource
        return resource

    def remove(self, resource: Resource) -> None:
        del self.resources[resource.arn]

    def set_status(self, resource: Resource, status: str, failure_reason: object = None) -> None:
        """Change the state of a resource, which its last update is too."""
        resource.described["status"] = status
        resource.described["lastUpdatedDateTime"] = self.now()
        if failure_reason is not None:
            resource.described["failureReason"] = failure_reason

    def arn(self, kind: str, name: str) -> str:
        """Return the ARN of one of the caller's: made of its name."""
        return f"arn:aws:personalize:{REGION}:{self.account}:{kind}/{name}"

    def check_quota(self, quota: str, used: int) -> None:
        if used >= self.quotas[quota]:
            raise Refused(LIMIT)

    # Describe and List

    def shown(self, resource: Resource) -> Document:
        """Return what Describe answers of a resource."""
        return resource.described

    def summary(self, resource: Resource) -> Document:
        """Return what lists show of a resource."""
        kind, described = resource.kind, self.shown(resource)
        common = (kind.arn_member, "creationDateTime", "lastUpdatedDateTime", *(("status",) if kind.has_status else ()))
        return {member: described[member] for member in (*common, *kind.summary) if member in described}

    def describe(self, kind: Kind, request: Document) -> Document:
        resource = self.find(kind, request[kind.arn_member])
        return {kind.member: self.shown(resource)}

    def list(self, kind: Kind, request: Document) -> Document:
        """Return a page of a list: what comes after the token's place, now, in the order of all resources.

        What was created or deleted since the page before therefore never moves others out of sight, nor shows them
        twice.
        """
        parents = {member: request[member] for member in kind.parents if member in request}
        for member, arn in parents.items():
            self.check_parent(kind, member, arn)
        size = request.get("maxResults", 100)
        if not 1 <= size <= 100:
            raise Refused(INVALID)
        scope = (kind.word, self.account, *sorted(parents.items()))
        entries = self.all(kind.word, **parents)
        if token := request.get("nextToken"):
            if token not in self.tokens or self.tokens[token][0] != scope:
                raise Refused(INVALID_TOKEN)
            after = self.tokens[token][1]
            entries = [
                entry
                for entry in entries
                if (entry.position < after if kind.is_newest_first else entry.position > after)
            ]
        page, rest = entries[:size], entries[size:]
        response: Document = {kind.list_member: [self.summary(entry) for entry in page]}
        if rest:
            response["nextToken"] = self.response.get("nextToken", "a token")
            self.tokens[response["nextToken"]] = (scope, page[-1].position)
        return response

    def check_parent(self, kind: Kind, member: str, arn: str) -> None:
        """Check the resource that a list is narrowed to: it need not exist, except for the versions of a solution."""
        parent = next(item for item in KINDS.values() if item.arn_member == member)
        try:
            self.find(parent, arn)
        except Refused as error:
            if error.reason == INVALID or kind.word == "SolutionVersion":
                raise

    # Tags

    def list_tags_for_resource(self, request: Document) -> Document:
        tags = self.tagged(request["resourceArn"]).tags
        return {"tags": [{"tagKey": key, "tagValue": tags[key]} for key in sorted(tags)]}

    def tag_resource(self, request: Document) -> None:
        """Add tags; one whose key is there already gets the new value. A resource has 50 at most."""
        check_tags(request["tags"])
        resource = self.tagged(request["resourceArn"])
        merged = resource.tags | {tag["tagKey"]: tag["tagValue"] for tag in request["tags"]}
        if len(merged) > 50:
            raise Refused(TOO_MANY_TAGS)
        resource.tags = merged

    def untag_resource(self, request: Document) -> None:
        """Remove tags; keys that are not there are no error."""
        resource = self.tagged(request["resourceArn"])
        for key in request["tagKeys"]:
            resource.tags.pop(key, None)

    def tagged(self, arn: str) -> Resource:
        name = arn.rsplit(":", maxsplit=1)[-1].partition("/")[0]
        kinds = [kind for kind in KINDS.values() if kind.name == name]
        if not any(kind.has_tags for kind in kinds):
            raise Refused(INVALID)
        resource = self.resources.get(arn)
        if resource is None or resource.account != self.account:
            raise Refused(NOT_FOUND)
        return resource


def check_name(name: str) -> str:
    """Return a name: 1 to 63 letters, digits, hyphens and underscores, a letter or digit first."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", name):
        raise Refused(INVALID)
    return name


def check_tags(tags: list[Document]) -> list[Document]:
    """Return tags: 50 at most, whose keys do not begin with `aws:`."""
    if len(tags) > 50:
        raise Refused(TOO_MANY_TAGS)
    if any(tag["tagKey"].lower().startswith("aws:") for tag in tags):
        raise Refused(INVALID)
    return tags


def require_active(resource: Resource) -> Resource:
    """Return a resource that others may use."""
    if resource.status != ACTIVE:
        raise Refused(IN_USE)
    return resource


def without_none(document: Document) -> Document:
    return {member: value for member, value in document.items() if value is not None}
