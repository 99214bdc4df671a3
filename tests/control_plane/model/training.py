"""The rules of solutions, solution versions and the schedules by which both are trained without being asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.control_plane.model.data import DataRules
from tests.control_plane.model.jobs import REMOVAL, TRAINING
from tests.control_plane.model.rules import (
    ACTIVE,
    DELETE_PENDING,
    EXISTS,
    FAILED,
    IN_PROGRESS,
    IN_USE,
    INVALID,
    KINDS,
    NOT_FOUND,
    PENDING,
    STOPPED,
    STOPPING,
    UNDER_WAY,
    Document,
    Refused,
    Resource,
    check_name,
    check_tags,
    require_active,
    without_none,
)

RECIPE = "arn:aws:personalize:::recipe/"
#: Recipes that the model knows: whether they have trainings of mode UPDATE, exploration to configure, and campaigns.
POPULARITY, PERSONALIZATION, SEGMENTS = (
    f"{RECIPE}aws-popularity-count",
    f"{RECIPE}aws-user-personalization",
    f"{RECIPE}aws-item-affinity",
)
WITH_UPDATES, WITH_EXPLORATION, WITH_CAMPAIGNS = {PERSONALIZATION}, {PERSONALIZATION}, {POPULARITY, PERSONALIZATION}
RECIPES = (POPULARITY, PERSONALIZATION, SEGMENTS)
#: The use cases that the model knows, by recipe: their domain.
VIEWS, FOR_YOU, FILMS = (
    f"{RECIPE}aws-ecomm-popular-items-by-views",
    f"{RECIPE}aws-ecomm-recommended-for-you",
    f"{RECIPE}aws-vod-most-popular",
)
USE_CASES = {VIEWS: "ECOMMERCE", FOR_YOU: "ECOMMERCE", FILMS: "VIDEO_ON_DEMAND"}
#: Time to train a solution on request before its schedule does, and until a training that could not be is tried again.
FIRST, LATER = timedelta(minutes=55), timedelta(minutes=15)


@dataclass(eq=False)
class Schedule:
    """When a solution or recommender is trained without being asked for.

    Attributes:
        subject: The solution or recommender.
        interval: Time from one training to the next.
        begun: When the schedule began.
        next: When the next training is due.
        last: When the last one was; None before the first, which one on request takes the place of.
        is_always: Whether it is trained also where there are no new data.
    """

    subject: Resource
    interval: timedelta
    begun: datetime
    next: datetime
    last: datetime | None = None
    is_always: bool = False


class TrainingRules(DataRules):
    """What models are trained by."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.schedules: dict[Resource, Schedule] = {}

    # Solutions: ACTIVE when CreateSolution returns

    def create_solution(self, request: Document) -> Document:
        """Create a solution, which is trained by a schedule unless the request says otherwise."""
        name = check_name(request["name"])
        recipe = request["recipeArn"]
        if not recipe.startswith(RECIPE):
            raise Refused(INVALID)
        if recipe not in (*RECIPES, *USE_CASES):
            raise Refused(NOT_FOUND)
        if recipe in USE_CASES:
            raise Refused(INVALID)
        tags = check_tags(request.get("tags", []))
        group = require_active(self.find(KINDS["DatasetGroup"], request["datasetGroupArn"]))
        solution = self.add(
            "Solution",
            {
                "name": name,
                "solutionArn": self.arn("solution", name),
                "datasetGroupArn": group.arn,
                "recipeArn": recipe,
                "performHPO": False,
                "performAutoML": False,
                "performAutoTraining": request.get("performAutoTraining", True),
                "performIncrementalUpdate": False,
                "solutionConfig": request.get("solutionConfig", {}),
                "status": ACTIVE,
            },
            tags=tags,
            datasetGroupArn=group.arn,
        )
        self.check_new("solutions_per_group", solution, len(self.all("Solution", datasetGroupArn=group.arn)) - 1)
        if solution.described["performAutoTraining"]:
            self.start_schedule(solution, interval_of(solution), FIRST)
        return {"solutionArn": solution.arn}

    def update_solution(self, request: Document) -> Document:
        """Change when a solution is trained; what is left out stays. Another interval begins the schedule anew."""
        solution = require_active(self.find(KINDS["Solution"], request["solutionArn"]))
        described = solution.described
        interval = interval_of(solution)
        changes = request.get("solutionUpdateConfig")
        if changes is not None:
            described["solutionConfig"] = described.get("solutionConfig", {}) | changes
        described["performAutoTraining"] = request.get("performAutoTraining", described["performAutoTraining"])
        if not described["performAutoTraining"]:
            self.schedules.pop(solution, None)
        elif solution not in self.schedules or interval != interval_of(solution):
            self.start_schedule(solution, interval_of(solution), FIRST)
        described["lastUpdatedDateTime"] = self.now()
        described["latestSolutionUpdate"] = without_none(
            {
                "solutionUpdateConfig": changes,
                "status": ACTIVE,
                "creationDateTime": self.now(),
                "lastUpdatedDateTime": self.now(),
                "performAutoTraining": described["performAutoTraining"],
                "performIncrementalUpdate": False,
            }
        )
        return {"solutionArn": solution.arn}

    def delete_solution(self, request: Document) -> None:
        """Delete a solution, on which no campaign is based, with its versions, none of which is being made or used."""
        solution = require_active(self.find(KINDS["Solution"], request["solutionArn"]))
        versions = self.versions_of(solution)
        if self.all("Campaign", solutionArn=solution.arn):
            raise Refused(IN_USE)
        if any(version.status in UNDER_WAY for version in versions):
            raise Refused(IN_USE)
        batch_jobs = [*self.all("BatchInferenceJob"), *self.all("BatchSegmentJob")]
        arns = {version.arn for version in versions}
        if any(job.status in UNDER_WAY and job.parents["solutionVersionArn"] in arns for job in batch_jobs):
            raise Refused(IN_USE)
        self.schedules.pop(solution, None)
        if not versions:
            # Nothing of it is in the store.
            self.remove(solution)
            return
        self.set_status(solution, DELETE_PENDING)
        self.enqueue(REMOVAL, solution, solution.described["datasetGroupArn"])

    # Solution versions: made by a training; deleted with their solution only

    def create_solution_version(self, request: Document) -> Document:
        """Ask for a training on the group's data.

        Mode UPDATE continues from an ACTIVE version of mode FULL, and few recipes have it.
        """
        if "name" in request:
            check_name(request["name"])
        tags = check_tags(request.get("tags", []))
        solution = require_active(self.find(KINDS["Solution"], request["solutionArn"]))
        versions = self.versions_of(solution)
        mode = request.get("trainingMode", "FULL")
        if mode == "UPDATE":
            bases = [one for one in versions if one.status == ACTIVE and one.described["trainingMode"] == "FULL"]
            if solution.described["recipeArn"] not in WITH_UPDATES or not bases:
                raise Refused(INVALID)
        if "name" in request and any(version.described["name"] == request["name"] for version in versions):
            raise Refused(EXISTS)
        arn = self.response.get("solutionVersionArn", "")
        version = self.train(solution, arn, "MANUAL", mode=mode, name=request.get("name"), tags=tags)
        return {"solutionVersionArn": version.arn}

    def train(
        self,
        solution: Resource,
        arn: str,
        training_type: str,
        *,
        mode: str = "FULL",
        name: str | None = None,
        tags: list[Document] | None = None,
    ) -> Resource:
        """Let a version be trained, whose ARN the service chose."""
        described = solution.described
        self.require_interactions(described["datasetGroupArn"])
        under_way = [version for version in self.all("SolutionVersion") if version.status in UNDER_WAY]
        self.check_quota("pending_solution_versions", len(under_way))
        assert re.fullmatch(re.escape(f"{solution.arn}/") + "[0-9a-f]{8}", arn), f"got {arn!r}, want a new version"
        copied = ("recipeArn", "datasetGroupArn", "performHPO", "performAutoML", "solutionConfig")
        version = self.add(
            "SolutionVersion",
            {
                **{member: described.get(member) for member in copied},
                "name": name or f"{described['name']}/{arn.rpartition('/')[2]}",
                "solutionVersionArn": arn,
                "solutionArn": solution.arn,
                "performIncrementalUpdate": False,
                "trainingMode": mode,
                "trainingType": training_type,
                "status": PENDING,
            },
            tags=tags or [],
            solutionArn=solution.arn,
        )
        self.enqueue(TRAINING, version, described["datasetGroupArn"])
        return version

    def require_interactions(self, group: str) -> None:
        """Check that there are interactions in a group: imported ones, or a tracker that may have taken some."""
        interactions = [
            dataset
            for dataset in self.all("Dataset", datasetGroupArn=group)
            if dataset.described["datasetType"] == "INTERACTIONS" and dataset.status == ACTIVE
        ]
        if not interactions:
            raise Refused(INVALID)
        if not self.has_imported(interactions[0]) and not self.all("EventTracker", datasetGroupArn=group):
            raise Refused(INVALID)

    def versions_of(self, solution: Resource) -> list[Resource]:
        """Return what a solution was trained to, or is being trained to, the oldest first."""
        return self.all("SolutionVersion", solutionArn=solution.arn)

    def stop_solution_version_creation(self, request: Document) -> None:
        version = self.find(KINDS["SolutionVersion"], request["solutionVersionArn"])
        if version.status not in (PENDING, IN_PROGRESS):
            raise Refused(IN_USE)
        self.stop_training(version)

    def stop_training(self, version: Resource) -> None:
        """Stop a training: at once while no worker has it, otherwise when its worker says so."""
        (job,) = (job for job in self.jobs if job.subject is version)
        job.stop_requested = job.lease is not None
        job.is_over = job.lease is None
        self.set_status(version, STOPPING if job.stop_requested else STOPPED)

    def get_solution_metrics(self, request: Document) -> Document:
        version = require_active(self.find(KINDS["SolutionVersion"], request["solutionVersionArn"]))
        return {"solutionVersionArn": version.arn, "metrics": self.metrics[version.arn]}

    def shown(self, resource: Resource) -> Document:
        """Return what Describe answers: of a solution with its newest version."""
        described = super().shown(resource)
        if resource.kind.word == "Solution":
            versions = self.versions_of(resource)
            if versions:
                return described | {"latestSolutionVersion": self.summary(versions[-1])}
        return described

    # Schedules

    def start_schedule(
        self, subject: Resource, interval: timedelta, first: timedelta, *, is_always: bool = False
    ) -> None:
        self.schedules[subject] = Schedule(subject, interval, self.now(), self.now() + first, is_always=is_always)

    def new_versions(self) -> list[str]:
        """Return the ARNs of versions in the service that the model does not have yet."""
        return [arn for arn in self.trained() if arn not in self.resources and arn not in self.trainings]

    def run_schedules(self) -> None:
        """Train what is due; one that may not be trained is tried again later.

        Which of two that are due at the same moment comes first, and so may use up a quota, is left to the service.
        """
        new = {arn.rpartition("/")[0]: arn for arn in self.new_versions()}
        due = [schedule for schedule in self.schedules.values() if schedule.next <= self.now()]
        for schedule in sorted(due, key=lambda one: (one.next, one.subject.arn not in new)):
            subject = schedule.subject
            self.account = subject.account
            if self.is_left_out(schedule):
                continue
            try:
                self.train_by_schedule(subject, new.get(subject.arn, ""))
            except Refused:
                schedule.next = self.now() + LATER
            else:
                schedule.last, schedule.next = self.now(), self.now() + schedule.interval
        assert not self.new_versions(), f"got trainings {self.new_versions()}, want none by a schedule"

    def is_left_out(self, schedule: Schedule) -> bool:
        """Return whether a training is not wanted, which moves the schedule on.

        The first is left out after one on request; the later ones where no data were imported since the last.
        """
        useless = (FAILED, STOPPED, STOPPING)
        versions = [one for one in self.versions_of(schedule.subject) if one.status not in useless]
        newest = versions[-1].described["creationDateTime"] if versions else None
        if schedule.last is None:
            requested = [one for one in versions if one.described["trainingType"] == "MANUAL"]
            if not requested or requested[-1].described["creationDateTime"] < schedule.begun:
                return False
        elif newest is None or schedule.is_always or self.has_new_data(schedule.subject, newest):
            return False
        schedule.last = schedule.last or newest
        schedule.next = schedule.last
        while schedule.next <= self.now():
            schedule.next += schedule.interval
        return True

    def has_new_data(self, solution: Resource, since: datetime) -> bool:
        datasets = self.all("Dataset", datasetGroupArn=solution.described["datasetGroupArn"])
        jobs = [
            job
            for dataset in datasets
            if dataset.described["datasetType"] == "INTERACTIONS" and dataset.status == ACTIVE
            for job in self.all("DatasetImportJob", datasetArn=dataset.arn)
        ]
        return any(job.status == ACTIVE and job.described["lastUpdatedDateTime"] >= since for job in jobs)

    def train_by_schedule(self, subject: Resource, arn: str) -> None:
        self.train(subject, arn, "AUTOMATIC")


def interval_of(solution: Resource) -> timedelta:
    """Return the time between two trainings of a solution: a week unless it says otherwise."""
    config = solution.described["solutionConfig"].get("autoTrainingConfig", {})
    return timedelta(days=int(re.search("[0-9]+", config.get("schedulingExpression", "7"))[0]))
