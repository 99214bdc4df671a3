"""Compares a declaration with what exists and plans the steps from one to the other.

Everything that can be known beforehand is found here, before anything is changed: members that the API cannot update,
names that belong to another group, resources that have failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.message import Message

from cli.declaration.api import new_message
from cli.declaration.compare import Difference, merge
from cli.declaration.document import Place
from cli.declaration.existing import (
    DELETING,
    FAILED,
    IN_PROGRESS,
    Existing,
    ExistingGroup,
    Reader,
    last_part,
    status_name,
)
from cli.declaration.imports import missing_imports
from cli.declaration.kinds import Kind, updatable_members
from cli.declaration.load import Declaration
from cli.declaration.model import Campaign, Dataset, Declared, Group, Schema, Solution
from cli.declaration.pruning import deletions
from cli.declaration.steps import Action, Parent, Plan, Ref, Stage, Step
from cli.declaration.updates import copied, described_after_update, resource_differences, update_request
from common.errors import FieldViolation, InvalidInput
from protos.tailorbird.control.v1 import common_pb2

__all__ = ["plan"]

#: The types of datasets whose schema can be replaced.
_REPLACEABLE_SCHEMAS: Final = ("Items", "Users")
_SHOWN: Final = 120


def plan(declaration: Declaration, reader: Reader, *, prune: bool = False) -> Plan:
    """Plan the steps to what a file declares.

    Args:
        declaration: The file.
        reader: Reads what exists.
        prune: Whether to delete what the file's groups have and the file does not declare.

    Raises:
        InvalidInput: Something declared has failed, or differs from what exists in a way that the API cannot update;
            the message has a line for each.
    """
    return _Planner(declaration, reader, prune=prune).plan()


class _Planner:
    def __init__(self, declaration: Declaration, reader: Reader, *, prune: bool) -> None:
        self._declaration = declaration
        self._reader = reader
        self._prune = prune
        self._steps: list[Step] = []
        self._arns: dict[Ref, str] = {}
        self._problems: list[FieldViolation] = []

    def plan(self) -> Plan:
        configuration = self._declaration.configuration
        for name, schema in configuration.schemas.items():
            self._schema(name, schema)
        groups = {name: (group, self._reader.group(name)) for name, group in configuration.dataset_groups.items()}
        for name, (group, existing) in groups.items():
            self._group(name, group, existing)
            if self._prune and existing is not None:
                self._steps += deletions(group, existing, declared_schemas=configuration.schemas.keys())
        if self._problems:
            lines = [f"`{item.field}`: {item.description}" for item in self._problems]
            raise InvalidInput("\n".join(lines), violations=self._problems)
        return Plan.of(self._steps, self._arns)

    def _schema(self, name: str, schema: Schema) -> None:
        request = copied(schema.request, name=name, schema=schema.text)
        place: Place = ("schemas", name)
        existing = self._reader.find(Kind.SCHEMA, name)
        self._resource(schema, request, place=place, ref=Ref(Kind.SCHEMA, name), label=name, stage=Stage.SCHEMAS,
                       existing=existing)  # fmt: skip

    def _group(self, name: str, group: Group, existing: ExistingGroup | None) -> None:
        place: Place = ("datasetGroups", name)
        ref = Ref(Kind.DATASET_GROUP, name)
        self._resource(group, copied(group.request, name=name), place=place, ref=ref, label=name, stage=Stage.GROUPS,
                       existing=None if existing is None else existing.group)  # fmt: skip
        parents = {"dataset_group_arn": Parent(ref)}
        for dataset_type, dataset in group.datasets.items():
            self._dataset(name, dataset_type, dataset, existing)
        self._tracker(name, group, existing)
        for word, kind, stage, declared in (
            ("filters", Kind.FILTER, Stage.FILTERS, group.filters),
            ("recommenders", Kind.RECOMMENDER, Stage.RECOMMENDERS, group.recommenders),
        ):
            for item_name, item in declared.items():
                self._resource(
                    item,
                    copied(item.request, name=item_name),
                    place=(*place, word, item_name),
                    ref=Ref(kind, item_name),
                    label=f"{name}/{item_name}",
                    stage=stage,
                    existing=None if existing is None else getattr(existing, word).get(item_name),
                    parents=parents,
                )
        for solution_name, solution in group.solutions.items():
            self._solution(name, solution_name, solution, existing)

    def _dataset(self, group: str, kind: str, dataset: Dataset, group_existing: ExistingGroup | None) -> None:
        place: Place = ("datasetGroups", group, "datasets", kind)
        name = f"{group}/{kind.upper()}"
        ref, schema = Ref(Kind.DATASET, name), Ref(Kind.SCHEMA, dataset.schema_name)
        if dataset.schema_name not in self._declaration.configuration.schemas:
            self._existing_schema(dataset.schema_name, (*place, "schema"))
        existing = None if group_existing is None else group_existing.datasets.get(kind.upper())
        remains = existing is not None and existing.status not in DELETING
        request = dataset.request if remains else copied(dataset.request, dataset_type=kind)
        if not remains and not request.name:
            request.name = f"{group}-{kind.lower()}"[:63]
        self._resource(
            dataset,
            request,
            place=place,
            ref=ref,
            label=name,
            stage=Stage.DATASETS,
            existing=existing,
            parents={"dataset_group_arn": Parent(Ref(Kind.DATASET_GROUP, group)), "schema_arn": Parent(schema)},
        )
        if existing is not None and remains:
            self._replaced_schema(kind, dataset, existing, place=place, label=name)
        jobs = [] if group_existing is None else group_existing.imports.get(kind.upper(), [])
        self._steps += missing_imports(dataset, jobs, self._reader, ref=ref)

    def _existing_schema(self, name: str, place: Place) -> None:
        schema = self._reader.find(Kind.SCHEMA, name)
        if schema is None:
            self._report(place, got=name, want="a schema of the file, or one that exists")
        else:
            self._arns[Ref(Kind.SCHEMA, name)] = schema.arn

    def _replaced_schema(self, kind: str, dataset: Dataset, existing: Existing, *, place: Place, label: str) -> None:
        update = existing.running_update
        current = last_part(existing.described.schema_arn if update is None else update.schema_arn)
        if current == dataset.schema_name:
            return
        if kind not in _REPLACEABLE_SCHEMAS:
            want = f"{current}: the API replaces schemas of {' and '.join(_REPLACEABLE_SCHEMAS)} only"
            self._report((*place, "schema"), got=dataset.schema_name, want=want)
            return
        parents = {"schema_arn": Parent(Ref(Kind.SCHEMA, dataset.schema_name))}
        details = (str(Difference("schema", current, dataset.schema_name)),)
        self._steps.append(
            Step(Action.UPDATE, Ref(Kind.DATASET, label), label, Stage.DATASETS, arn=existing.arn,
                 request=new_message("UpdateDataset", dataset_arn=existing.arn), parents=parents, details=details)
        )  # fmt: skip

    def _tracker(self, group: str, declared: Group, existing: ExistingGroup | None) -> None:
        if declared.event_tracker is None:
            return
        tracker: Any = declared.event_tracker.request
        place: Place = ("datasetGroups", group, "eventTracker")
        trackers = {} if existing is None else existing.trackers
        others = [item for name, item in trackers.items() if name != tracker.name and item.status not in DELETING]
        if others and not self._prune:
            want = f"{others[0].name}: a group has one event tracker, which --prune replaces"
            self._report((*place, "name"), got=tracker.name, want=want)
            return
        self._resource(
            declared.event_tracker,
            copied(tracker),
            place=place,
            ref=Ref(Kind.EVENT_TRACKER, f"{group}/{tracker.name}"),
            label=f"{group}/{tracker.name}",
            stage=Stage.TRACKERS,
            existing=trackers.get(tracker.name),
            parents={"dataset_group_arn": Parent(Ref(Kind.DATASET_GROUP, group))},
        )

    def _solution(self, group: str, name: str, solution: Solution, existing: ExistingGroup | None) -> None:
        place: Place = ("datasetGroups", group, "solutions", name)
        ref, label = Ref(Kind.SOLUTION, name), f"{group}/{name}"
        self._resource(
            solution,
            copied(solution.request, name=name),
            place=place,
            ref=ref,
            label=label,
            stage=Stage.SOLUTIONS,
            existing=None if existing is None else existing.solutions.get(name),
            parents={"dataset_group_arn": Parent(Ref(Kind.DATASET_GROUP, group))},
        )
        if solution.needs_version:
            self._version(ref, label, [] if existing is None else existing.versions.get(name, []))
        campaigns = {} if existing is None else existing.campaigns.get(name, {})
        for campaign_name, campaign in solution.campaigns.items():
            self._campaign(
                campaign_name, campaign, campaigns.get(campaign_name), solution=ref, place=place, label=label
            )

    def _version(self, solution: Ref, label: str, versions: list[Any]) -> None:
        """Plan a training, unless a version is ACTIVE; one that is in progress is waited for."""
        if any(item.status == common_pb2.RESOURCE_STATUS_ACTIVE for item in versions):
            return
        ref = Ref(Kind.SOLUTION_VERSION, solution.name)
        for version in versions:
            if version.status in IN_PROGRESS and version.status != common_pb2.RESOURCE_STATUS_CREATE_STOPPING:
                self._steps.append(
                    Step(Action.WAIT, ref, label, Stage.VERSIONS, arn=version.solution_version_arn,
                         details=(f"it is {status_name(version.status)}",))
                )  # fmt: skip
                return
        self._steps.append(
            Step(Action.CREATE, ref, label, Stage.VERSIONS, request=new_message("CreateSolutionVersion"),
                 parents={"solution_arn": Parent(solution)})
        )  # fmt: skip

    def _campaign(
        self, name: str, campaign: Campaign, existing: Existing | None, *, solution: Ref, place: Place, label: str
    ) -> None:
        ref, latest = Ref(Kind.CAMPAIGN, name), Parent(solution, "/$LATEST")
        campaign_label = f"{label}/{name}"
        if existing is not None and existing.status in FAILED:
            # The API tries again by an update.
            request = new_message("UpdateCampaign", campaign_arn=existing.arn)
            merge(request, campaign.request)
            details = (f"it is {status_name(existing.status)}: {existing.failure_reason}",)
            self._arns[ref] = existing.arn
            self._steps.append(
                Step(Action.UPDATE, ref, campaign_label, Stage.CAMPAIGNS, arn=existing.arn, request=request,
                     parents={"solution_version_arn": latest}, details=details)
            )  # fmt: skip
            return
        self._resource(
            campaign,
            copied(campaign.request, name=name),
            place=(*place, "campaigns", name),
            ref=ref,
            label=campaign_label,
            stage=Stage.CAMPAIGNS,
            existing=existing,
            parents={"solution_version_arn": latest},
        )

    def _resource(
        self,
        declared: Declared,
        request: Any,
        *,
        place: Place,
        ref: Ref,
        label: str,
        stage: Stage,
        existing: Existing | None,
        parents: Mapping[str, Parent] | None = None,
    ) -> None:
        """Plan what one resource needs: to be created, updated, tagged, or nothing."""
        if existing is None and self._is_elsewhere(ref, place):
            return
        if existing is None or existing.status in DELETING:
            # One that is being deleted has to be gone first.
            arn = None if existing is None else existing.arn
            self._steps.append(Step(Action.CREATE, ref, label, stage, arn=arn, request=request, parents=parents or {}))
            return
        self._arns[ref] = existing.arn
        if existing.status in FAILED:
            state = f"{status_name(existing.status)} ({existing.failure_reason or 'without a reason'})"
            want = "one that is ACTIVE, or none: delete it and run the command again"
            self._report(place, got=f"a {ref.kind.words} that is {state}", want=want)
            return
        self._compare(request, existing, place=place, ref=ref, label=label, stage=stage)
        if declared.states("tags"):
            self._tags(declared.request, existing, ref=ref, label=label, stage=stage)

    def _is_elsewhere(self, ref: Ref, place: Place) -> bool:
        """Report a name that belongs to a resource of another group or solution: names are unique in an account."""
        if ref.kind in (Kind.SCHEMA, Kind.DATASET_GROUP, Kind.DATASET, Kind.EVENT_TRACKER):
            return False
        other = self._reader.find(ref.kind, ref.name)
        if other is None or other.status in DELETING:
            return False
        parent = "solution_version_arn" if ref.kind is Kind.CAMPAIGN else "dataset_group_arn"
        owner = getattr(other.described, parent)
        self._report(place, got=f"a name that a {ref.kind.words} of {owner} has", want="another: the API moves none")
        return True

    def _compare(
        self, request: Message, existing: Existing, *, place: Place, ref: Ref, label: str, stage: Stage
    ) -> None:
        current = described_after_update(existing)
        updatable = updatable_members(ref.kind)
        changes: list[Difference] = []
        for difference in resource_differences(request, current, ref.kind):
            if any(difference.is_within(path) for path in updatable):
                changes.append(difference)
            else:
                want = f"{_short(difference.existing)}: the API cannot change it in a {ref.kind.words}"
                self._report((*place, *difference.path.split(".")), got=_short(difference.declared), want=want)
        if changes:
            update = update_request(ref.kind, existing.arn, request, current, changes)
            details = tuple(map(str, changes))
            self._steps.append(
                Step(Action.UPDATE, ref, label, stage, arn=existing.arn, request=update, details=details)
            )
        elif existing.status in IN_PROGRESS or existing.running_update is not None:
            state = existing.status if existing.status in IN_PROGRESS else existing.running_update.status
            self._steps.append(
                Step(Action.WAIT, ref, label, stage, arn=existing.arn, details=(f"it is {status_name(state)}",))
            )

    def _tags(self, request: Any, existing: Existing, *, ref: Ref, label: str, stage: Stage) -> None:
        want = {tag.tag_key: tag.tag_value for tag in request.tags}
        got = self._reader.api.tags(existing.arn)
        changed = {key: value for key, value in want.items() if got.get(key) != value}
        removed = tuple(sorted(got.keys() - want.keys()))
        if changed or removed:
            details = tuple(
                str(Difference(f"tags.{key}", got.get(key), want.get(key))) for key in (*sorted(changed), *removed)
            )
            self._steps.append(
                Step(
                    Action.TAG, ref, label, stage, arn=existing.arn, details=details, tags=changed, removed_tags=removed
                )
            )

    def _report(self, place: Place, *, got: str, want: str) -> None:
        self._problems.append(FieldViolation(self._declaration.where(place), f"got {got}, want {want}"))


def _short(value: Any) -> str:
    """Return a value for a message."""
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."
