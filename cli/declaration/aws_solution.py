"""Reads the configuration of AWS's retired solution "Maintaining Personalized Experiences with Machine Learning".

Such a file is turned into a declaration of ours, with notes on what has no place there: imports and batch jobs by
schedule, since the API has neither, and trainings by a schedule that is not "every N days".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from cli.declaration.aws_schedule import days_between
from cli.declaration.document import Document, Place
from common.errors import InvalidInput

__all__ = ["Translation", "is_aws_configuration", "translate"]

_TYPES: Final = {"interactions": "Interactions", "items": "Items", "users": "Users"}
_BATCH: Final = ("batchInferenceJobs", "batchSegmentJobs")
#: Members that stand for ARNs or roles which do not exist here; files may leave them out.
_DROPPED: Final = ("roleArn", "datasetGroupArn", "solutionVersionArn", "solutionArn", "schemaArn", "datasetArn")


class _Part(BaseModel):
    """One part of the file: members of the API, schedules, and whatever else somebody wrote."""

    model_config = ConfigDict(extra="allow", alias_generator=to_camel)
    service_config: dict[str, Any] = Field(default_factory=dict)
    workflow_config: dict[str, Any] = Field(default_factory=dict)


class _Solution(_Part):
    campaigns: list[_Part] = Field(default_factory=list)
    batch_inference_jobs: list[_Part] = Field(default_factory=list)
    batch_segment_jobs: list[_Part] = Field(default_factory=list)
    recommenders: list[_Part] = Field(default_factory=list)


class _Dataset(BaseModel):
    model_config = ConfigDict(extra="allow")
    dataset: _Part = Field(default_factory=_Part)
    schema_part: _Part = Field(alias="schema", default_factory=_Part)


class _Datasets(_Part):
    interactions: _Dataset | None = None
    items: _Dataset | None = None
    users: _Dataset | None = None


class AwsConfiguration(BaseModel):
    """The file as a whole."""

    model_config = ConfigDict(extra="allow", alias_generator=to_camel)
    dataset_group: _Part
    datasets: _Datasets = Field(default_factory=_Datasets)
    event_tracker: _Part | None = None
    filters: list[_Part] = Field(default_factory=list)
    solutions: list[_Solution] = Field(default_factory=list)
    recommenders: list[_Part] = Field(default_factory=list)


@dataclass(slots=True)
class Translation:
    """A declaration made of AWS's configuration.

    Attributes:
        data: The declaration as a file of ours would say it.
        notes: What is not kept, or not as it was, with places.
        origins: Places in the declaration to those in the file they come from.
    """

    data: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    origins: dict[Place, Place] = field(default_factory=dict)


def is_aws_configuration(data: Any) -> bool:
    """Return whether a document has the shape of AWS's configuration."""
    return (
        isinstance(data, dict)
        and isinstance(data.get("datasetGroup"), dict)
        and "serviceConfig" in data["datasetGroup"]
    )


def translate(document: Document, folder: Path, *, buckets: Path | None) -> Translation:
    """Turn AWS's configuration into a declaration.

    Args:
        document: The file's content.
        folder: Where the file lies, with the data beside it.
        buckets: Folder whose sub-folders are the buckets of `s3://`; None if they are not on this machine.

    Raises:
        ValidationError: The file has AWS's shape, but not its types.
        InvalidInput: A name or a schedule is missing or wrong.
    """
    return _Translator(document, folder, buckets).translate(AwsConfiguration.model_validate(document.data))


class _Translator:
    def __init__(self, document: Document, folder: Path, buckets: Path | None) -> None:
        self._document = document
        self._folder = folder
        self._buckets = buckets
        self._result = Translation({"version": 1, "schemas": {}, "datasetGroups": {}})
        self._group: dict[str, Any] = {}
        self._place: Place = ()

    def translate(self, source: AwsConfiguration) -> Translation:
        name, members = self._named(source.dataset_group, ("datasetGroup",))
        self._place = ("datasetGroups", name)
        self._group.update(members)
        self._result.data["datasetGroups"][name] = self._group
        self._origin(self._place, ("datasetGroup", "serviceConfig"))
        for place, _ in self._schedules(source.dataset_group, ("datasetGroup",)):
            self._not_kept(place, "the API has no imports by schedule; `tailorbird apply` imports files that are new")
        self._datasets(source.datasets)
        if source.event_tracker is not None:
            self._group["eventTracker"] = source.event_tracker.service_config
            self._origin((*self._place, "eventTracker"), ("eventTracker", "serviceConfig"))
        self._named_parts("filters", source.filters, ("filters",))
        self._named_parts("recommenders", source.recommenders, ("recommenders",))
        for index, solution in enumerate(source.solutions):
            self._solution(solution, ("solutions", index))
        self._note_unread(source, ())
        return self._result

    def _datasets(self, source: _Datasets) -> None:
        shared = {key: value for key, value in source.service_config.items() if key in ("importMode", "tags")}
        for key, kind in _TYPES.items():
            part: _Dataset | None = getattr(source, key)
            if part is None:
                continue
            place: Place = ("datasets", key)
            schema_place = (*place, "schema", "serviceConfig")
            schema_name, schema = self._named(part.schema_part, (*place, "schema"))
            if self._result.data["schemas"].get(schema_name, schema) != schema:
                raise self._twice(schema_name, schema_place)
            self._result.data["schemas"][schema_name] = schema
            self._origin(("schemas", schema_name), schema_place)
            dataset = {**_kept(part.dataset.service_config), "schema": schema_name}
            dataset.pop("datasetType", None)
            where = (*self._place, "datasets", kind)
            self._group.setdefault("datasets", {})[kind] = dataset
            self._origin(where, (*place, "dataset", "serviceConfig"))
            if (location := self._data_location(key)) is None:
                self._result.notes.append(f"`{self._document.where(place)}`: no {key}.csv and no folder {key} beside "
                                          "the file, so nothing is imported")  # fmt: skip
                continue
            name = f"{dataset.get('name', key)}-import"
            dataset["imports"] = {name: {**shared, "dataLocation": location[0], "revision": location[1]}}
            self._origin((*where, "imports"), ("datasets", "serviceConfig"))
            self._note_unread(part, place)
        self._note_unread(source, ("datasets",))

    def _data_location(self, key: str) -> tuple[str, str] | None:
        """Return the URL of a dataset's data beside the file, and a text that changes when the files do."""
        file, parts = self._folder / f"{key}.csv", self._folder / key
        paths = [file] if file.is_file() else sorted(path for path in parts.glob("*") if path.is_file())
        if not paths:
            return None
        digest = hashlib.sha256()
        for path in paths:
            stat = path.stat()
            digest.update(f"{path.name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        source = file if file.is_file() else parts
        return _url(source.resolve(), self._buckets) + ("" if source is file else "/"), digest.hexdigest()[:8]

    def _solution(self, source: _Solution, place: Place) -> None:
        name, solution = self._named(source, place)
        where = (*self._place, "solutions", name)
        self._declare(self._group, "solutions", name, solution, place=(*place, "serviceConfig"))
        self._origin(where, (*place, "serviceConfig"))
        follows = self._training_schedules(source, solution, place)
        for index, part in enumerate(source.campaigns):
            campaign_place = (*place, "campaigns", index)
            campaign_name, campaign = self._named(part, campaign_place)
            if follows:
                # Trainings by schedule were followed by an update of the campaigns.
                config = campaign.setdefault("campaignConfig", {})
                config.setdefault("syncWithLatestSolutionVersion", True)
            self._declare(solution, "campaigns", campaign_name, campaign, place=(*campaign_place, "serviceConfig"))
            self._origin((*where, "campaigns", campaign_name), (*campaign_place, "serviceConfig"))
            self._note_unread(part, campaign_place)
        for word in _BATCH:
            for index, _ in enumerate(getattr(source, _snake(word))):
                self._not_kept((*place, word, index), "batch jobs run once, when they are created through the API")
        self._named_parts("recommenders", source.recommenders, (*place, "recommenders"))
        self._note_unread(source, place)

    def _training_schedules(self, source: _Part, solution: dict[str, Any], place: Place) -> bool:
        """Set the schedule of a solution's trainings; return whether it has one."""
        trains = False
        for schedule_place, expression in self._schedules(source, place):
            try:
                days = days_between(expression)
            except InvalidInput as error:
                shown = self._document.where(schedule_place)
                raise InvalidInput(f"`{shown}`: got {expression!r}, {error.message}") from error
            if schedule_place[-1] != "full":
                self._not_kept(schedule_place, "the API trains by schedule from the beginning only, not in mode UPDATE")
            elif days is None:
                self._not_kept(schedule_place, f"{expression} is not every N days, the API's only schedule; the "
                               "solution trains as its performAutoTraining says, every 7 days without one")  # fmt: skip
            else:
                rate = f"rate({days} day{'s' if days > 1 else ''})"
                config = solution.setdefault("solutionConfig", {})
                config.setdefault("autoTrainingConfig", {}).setdefault("schedulingExpression", rate)
                solution.setdefault("performAutoTraining", True)
                self._result.notes.append(
                    f"`{self._document.where(schedule_place)}`: {expression} is kept as {rate}, counted from the last "
                    "training; its time of day is not kept"
                )
                trains = True
        return trains

    def _schedules(self, source: _Part, place: Place) -> Iterator[tuple[Place, str]]:
        """Yield the place and text of each schedule of a part."""
        schedules = source.workflow_config.get("schedules")
        if isinstance(schedules, dict):
            for key in sorted(schedules):
                yield (*place, "workflowConfig", "schedules", key), str(schedules[key])
        for key in source.workflow_config.keys() - {"schedules"}:
            self._not_kept((*place, "workflowConfig", key), "nothing here corresponds to it")

    def _named_parts(self, word: str, parts: list[_Part], place: Place) -> None:
        for index, part in enumerate(parts):
            name, members = self._named(part, (*place, index))
            self._declare(self._group, word, name, members, place=(*place, index, "serviceConfig"))
            self._origin((*self._place, word, name), (*place, index, "serviceConfig"))
            self._note_unread(part, (*place, index))

    def _named(self, part: _Part, place: Place) -> tuple[str, dict[str, Any]]:
        """Return the name of a resource and its other members.

        Raises:
            InvalidInput: It has no name.
        """
        members = _kept(part.service_config)
        name = members.pop("name", None)
        if not isinstance(name, str):
            shown = self._document.where((*place, "serviceConfig"))
            raise InvalidInput(f"`{shown}`: got no name, want one")
        return name, members

    def _declare(self, parent: dict[str, Any], word: str, name: str, members: dict[str, Any], *, place: Place) -> None:
        """Add a resource to a declaration, which knows resources by name where AWS's file has lists.

        Raises:
            InvalidInput: Another has the name.
        """
        resources = parent.setdefault(word, {})
        if name in resources:
            raise self._twice(name, place)
        resources[name] = members

    def _twice(self, name: str, place: Place) -> InvalidInput:
        shown = self._document.where((*place, "name"))
        return InvalidInput(f"`{shown}`: got {name}, which another has before it, want names that are unique")

    def _origin(self, place: Place, source: Place) -> None:
        self._result.origins[place] = source

    def _not_kept(self, place: Place, reason: str) -> None:
        self._result.notes.append(f"`{self._document.where(place)}`: not kept: {reason}")

    def _note_unread(self, part: BaseModel, place: Place) -> None:
        for key in part.model_extra or {}:
            self._not_kept((*place, key), "nothing here corresponds to it")


def _kept(members: Mapping[str, Any]) -> dict[str, Any]:
    # The role of a group belongs to its key, and is no use without one.
    dropped = _DROPPED[1:] if "kmsKeyArn" in members else _DROPPED
    return {key: value for key, value in members.items() if key not in dropped}


def _url(path: Path, buckets: Path | None) -> str:
    """Return the URL of a file or folder: `s3://` below the folder of the buckets, `file://` elsewhere."""
    if buckets is not None and path.is_relative_to(buckets.resolve()):
        return f"s3://{path.relative_to(buckets.resolve()).as_posix()}"
    return path.as_uri()


def _snake(word: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in word)
