"""What a file declares: schemas, and dataset groups with everything that belongs to them, each under its name.

Beside what is nested in a resource stand the members of the API's own request that creates it, under the API's names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from google.protobuf.message_factory import GetMessageClass
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    StrictBool,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from cli.declaration.kinds import Kind
from cli.declaration.members import fill, member_names, members_model

__all__ = [
    "DATASET_TYPES",
    "Campaign",
    "Configuration",
    "Dataset",
    "Declared",
    "EventTracker",
    "Filter",
    "Group",
    "Import",
    "Recommender",
    "Schema",
    "Solution",
]

DATASET_TYPES: Final = ("Interactions", "Items", "Users", "Actions", "Action_Interactions")
_BY_UPPER: Final = {name.upper(): name for name in DATASET_TYPES}


def _to_dataset_type(value: Any) -> Any:
    return _BY_UPPER.get(value.upper(), value) if isinstance(value, str) else value


def _one_of_each_type(value: Any) -> Any:
    """Refuse a type that is spelt in two ways: of two datasets of one name the first would be dropped."""
    types = [_to_dataset_type(key) for key in value] if isinstance(value, dict) else []
    for name in types:
        if types.count(name) > 1:
            raise PydanticCustomError("twice", "got {name} twice, want one dataset of each type", {"name": name})
    return value


def _to_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9\-_]*$", max_length=63)]
DatasetType = Annotated[
    Literal["Interactions", "Items", "Users", "Actions", "Action_Interactions"], BeforeValidator(_to_dataset_type)
]
Revision = Annotated[str, BeforeValidator(_to_text), StringConstraints(pattern=r"^[a-zA-Z0-9\-]{1,20}$")]


class Declared(BaseModel):
    """A declared resource.

    Attributes:
        KIND: What it is.
        REQUIRED: Members that its request cannot do without.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)
    KIND: ClassVar[Kind]
    REQUIRED: ClassVar[tuple[str, ...]] = ()
    _request: Any = PrivateAttr()
    _members: frozenset[str] = PrivateAttr()

    @property
    def request(self) -> Any:
        """The message that creates it, without what follows from its place in the file."""
        return self._request

    def states(self, member: str) -> bool:
        """Return whether the file mentions a member of the API."""
        return member in self._members

    @model_validator(mode="wrap")
    @classmethod
    def _take_members(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Check the members of the API apart from what is nested, and build the request of them."""
        if data is None:
            data = {}
        if not isinstance(data, dict):
            return handler(data)
        contract = cls.KIND.create_request
        names = {name for name, field in member_names(contract).items() if field.name not in cls.KIND.placed}
        members = members_model(contract, cls.KIND.placed).model_validate(
            {name: value for name, value in data.items() if name in names}
        )
        declared = handler({name: value for name, value in data.items() if name not in names})
        for name in cls.REQUIRED:
            if data.get(name) is None:
                raise PydanticCustomError("missing_member", "got no {name}, want one", {"name": name})
        declared.take(members.model_dump(exclude_unset=True, exclude_none=True))
        return declared

    def take(self, members: dict[str, Any]) -> None:
        """Set the request to members that were checked."""
        self._members = frozenset(members)
        self._request = GetMessageClass(self.KIND.create_request)()
        fill(self._request, members)


class Schema(Declared):
    """An Avro schema, as a mapping or as JSON text."""

    KIND = Kind.SCHEMA
    definition: dict[str, Any] | str = Field(alias="schema")

    @property
    def text(self) -> str:
        """The schema as JSON text."""
        return self.definition if isinstance(self.definition, str) else json.dumps(self.definition)


class Import(Declared):
    """Files that must have been imported into a dataset; another location or revision is imported again."""

    KIND = Kind.IMPORT_JOB
    data_location: str
    revision: Revision | None = None


class Dataset(Declared):
    """A dataset, the name of its schema, and what is imported into it, in this order."""

    KIND = Kind.DATASET
    schema_name: Name = Field(alias="schema")
    imports: dict[Name, Import] = {}


class EventTracker(Declared):
    """The event tracker of a group."""

    KIND = Kind.EVENT_TRACKER
    REQUIRED = ("name",)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.request.name)


class Filter(Declared):
    """A filter."""

    KIND = Kind.FILTER
    REQUIRED = ("filterExpression",)


class Campaign(Declared):
    """A campaign of a solution; it begins with the solution's newest version."""

    KIND = Kind.CAMPAIGN


class Solution(Declared):
    """A solution.

    Attributes:
        train: Whether it must have a trained version; by default if it has campaigns.
        campaigns: Its campaigns.
    """

    KIND = Kind.SOLUTION
    train: StrictBool | None = None
    campaigns: dict[Name, Campaign] = {}

    @property
    def needs_version(self) -> bool:
        """Whether a version must be trained if there is none."""
        return bool(self.campaigns) if self.train is None else self.train

    @model_validator(mode="after")
    def _campaigns_need_a_version(self) -> Solution:
        if self.train is False and self.campaigns:
            raise PydanticCustomError("train", "got train: false, want true: campaigns serve a version")
        return self


class Recommender(Declared):
    """A recommender of a domain group."""

    KIND = Kind.RECOMMENDER
    REQUIRED = ("recipeArn",)


class Group(Declared):
    """A dataset group with what belongs to it."""

    KIND = Kind.DATASET_GROUP
    datasets: Annotated[dict[DatasetType, Dataset], BeforeValidator(_one_of_each_type)] = {}
    event_tracker: EventTracker | None = None
    filters: dict[Name, Filter] = {}
    solutions: dict[Name, Solution] = {}
    recommenders: dict[Name, Recommender] = {}


class Configuration(BaseModel):
    """A whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)
    version: Literal[1] = 1
    schemas: dict[Name, Schema] = {}
    dataset_groups: dict[Name, Group] = {}

    @model_validator(mode="after")
    def _names_are_unique(self) -> Configuration:
        """Names are unique in an account, not in a group."""
        seen: set[tuple[str, str]] = set()
        for kind, name in self._names():
            if (kind, name) in seen:
                raise PydanticCustomError("twice", f"got {kind} {name} twice, want names that are unique in the file")
            seen.add((kind, name))
        return self

    def _names(self) -> Iterator[tuple[str, str]]:
        for group in self.dataset_groups.values():
            yield from (("filter", name) for name in group.filters)
            yield from (("recommender", name) for name in group.recommenders)
            yield from (("import", name) for dataset in group.datasets.values() for name in dataset.imports)
            for solution_name, solution in group.solutions.items():
                yield "solution", solution_name
                yield from (("campaign", name) for name in solution.campaigns)
