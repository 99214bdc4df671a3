"""The steps of a plan: what is created, updated, tagged, deleted or waited for, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

from cli.declaration.kinds import Kind

__all__ = ["Action", "Parent", "Plan", "Ref", "Stage", "Step"]


class Action(StrEnum):
    """What a step does."""

    CREATE = "create"
    UPDATE = "update"
    WAIT = "wait"
    TAG = "tag"
    DELETE = "delete"


class Stage(IntEnum):
    """Order of the steps: those of one stage are begun together, and the next begins when all of them are done."""

    REPLACED_TRACKERS = 0
    SCHEMAS = 1
    GROUPS = 2
    DATASETS = 3
    IMPORTS = 4
    TRACKERS = 5
    FILTERS = 6
    SOLUTIONS = 7
    VERSIONS = 8
    CAMPAIGNS = 9
    RECOMMENDERS = 10
    DELETED_RECOMMENDERS = 11
    DELETED_CAMPAIGNS = 12
    DELETED_FILTERS = 13
    DELETED_SOLUTIONS = 14
    DELETED_TRACKERS = 15
    DELETED_DATASETS = 16
    DELETED_SCHEMAS = 17


@dataclass(frozen=True, slots=True)
class Ref:
    """A resource of the plan by its kind and name; a dataset is named `GROUP/TYPE`."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Parent:
    """The ARN of a resource that another belongs to, which may not exist before the plan is carried out.

    Attributes:
        ref: The resource.
        suffix: What follows its ARN, such as `/$LATEST`.
    """

    ref: Ref
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes:
        action: What it does.
        ref: The resource.
        label: Where it belongs, for people, e.g. `films/for-you/web`.
        stage: When.
        wave: When within the stage: imports into one dataset come one after the other.
        arn: ARN of the resource; None if the step creates it.
        request: The request, without the ARNs of `parents`; None for waits and deletions.
        parents: The fields of the request that hold ARNs of other resources.
        details: What differs, a line for each member.
        tags: Tags to set, of a TAG step.
        removed_tags: Tags to remove, of a TAG step.
        keeps_if_in_use: Whether a deletion is given up when something else uses the resource.
    """

    action: Action
    ref: Ref
    label: str
    stage: Stage
    wave: int = 0
    arn: str | None = None
    request: Any = None
    parents: Mapping[str, Parent] = field(default_factory=dict)
    details: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    removed_tags: tuple[str, ...] = ()
    keeps_if_in_use: bool = False

    @property
    def title(self) -> str:
        """The resource for people, e.g. `campaign films/for-you/web`."""
        return f"{self.ref.kind.words} {self.label}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    Attributes:
        steps: In the order in which they are carried out.
        arns: ARNs of the resources that exist.
    """

    steps: tuple[Step, ...]
    arns: Mapping[Ref, str]

    @classmethod
    def of(cls, steps: Iterable[Step], arns: Mapping[Ref, str]) -> Plan:
        """Make a plan of steps in any order."""
        return cls(tuple(sorted(steps, key=lambda step: (step.stage, step.wave))), dict(arns))

    @property
    def deletions(self) -> tuple[Step, ...]:
        """The steps that delete something."""
        return tuple(step for step in self.steps if step.action is Action.DELETE)
