"""The rules of solutions and solution versions."""

from __future__ import annotations

import re

from tests.control_plane.model.data import DataRules
from tests.control_plane.model.jobs import REMOVAL, TRAINING
from tests.control_plane.model.rules import (
    ACTIVE,
    DELETE_PENDING,
    EXISTS,
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


class TrainingRules(DataRules):
    """What models are trained by."""

    # Solutions: ACTIVE when CreateSolution returns

    def create_solution(self, request: Document) -> Document:
        name = check_name(request["name"])
        recipe = request["recipeArn"]
        if not recipe.startswith(RECIPE):
            raise Refused(INVALID)
        if recipe not in RECIPES:
            raise Refused(NOT_FOUND)
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
                "performAutoTraining": request["performAutoTraining"],
                "performIncrementalUpdate": False,
                "solutionConfig": request.get("solutionConfig", {}),
                "status": ACTIVE,
            },
            tags=tags,
            datasetGroupArn=group.arn,
        )
        self.check_new("solutions_per_group", solution, len(self.all("Solution", datasetGroupArn=group.arn)) - 1)
        return {"solutionArn": solution.arn}

    def update_solution(self, request: Document) -> Document:
        """Change when a solution is trained; what is left out stays. It holds at once."""
        solution = require_active(self.find(KINDS["Solution"], request["solutionArn"]))
        described = solution.described
        changes = request.get("solutionUpdateConfig")
        if changes is not None:
            described["solutionConfig"] = described.get("solutionConfig", {}) | changes
        described["performAutoTraining"] = request.get("performAutoTraining", described["performAutoTraining"])
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
        versions = self.all("SolutionVersion", solutionArn=solution.arn)
        if self.all("Campaign", solutionArn=solution.arn):
            raise Refused(IN_USE)
        if any(version.status in UNDER_WAY for version in versions):
            raise Refused(IN_USE)
        batch_jobs = [*self.all("BatchInferenceJob"), *self.all("BatchSegmentJob")]
        arns = {version.arn for version in versions}
        if any(job.status in UNDER_WAY and job.parents["solutionVersionArn"] in arns for job in batch_jobs):
            raise Refused(IN_USE)
        if not versions:
            # Nothing of it is in the store.
            self.remove(solution)
            return
        self.set_status(solution, DELETE_PENDING)
        self.enqueue(REMOVAL, solution, solution.described["datasetGroupArn"])

    # Solution versions: made by a training; deleted with their solution only

    def create_solution_version(self, request: Document) -> Document:
        """Ask for a training on the group's data: interactions that were imported, or may have been streamed.

        Mode UPDATE continues from an ACTIVE version of mode FULL, and few recipes have it.
        """
        if "name" in request:
            check_name(request["name"])
        tags = check_tags(request.get("tags", []))
        solution = require_active(self.find(KINDS["Solution"], request["solutionArn"]))
        versions = self.all("SolutionVersion", solutionArn=solution.arn)
        described = solution.described
        group = described["datasetGroupArn"]
        mode = request.get("trainingMode", "FULL")
        if mode == "UPDATE":
            bases = [one for one in versions if one.status == ACTIVE and one.described["trainingMode"] == "FULL"]
            if described["recipeArn"] not in WITH_UPDATES or not bases:
                raise Refused(INVALID)
        if "name" in request and any(version.described["name"] == request["name"] for version in versions):
            raise Refused(EXISTS)
        interactions = [
            dataset
            for dataset in self.all("Dataset", datasetGroupArn=group)
            if dataset.described["datasetType"] == "INTERACTIONS" and dataset.status == ACTIVE
        ]
        if not interactions:
            raise Refused(INVALID)
        if not self.has_imported(interactions[0]) and not self.all("EventTracker", datasetGroupArn=group):
            raise Refused(INVALID)
        under_way = [version for version in self.all("SolutionVersion") if version.status in UNDER_WAY]
        self.check_quota("pending_solution_versions", len(under_way))
        arn = self.response.get("solutionVersionArn", "")
        assert re.fullmatch(re.escape(f"{solution.arn}/") + "[0-9a-f]{8}", arn), arn
        copied = ("recipeArn", "datasetGroupArn", "performHPO", "performAutoML", "solutionConfig")
        version = self.add(
            "SolutionVersion",
            {
                **{member: described.get(member) for member in copied},
                "name": request.get("name", f"{described['name']}/{arn.rpartition('/')[2]}"),
                "solutionVersionArn": arn,
                "solutionArn": solution.arn,
                "performIncrementalUpdate": False,
                "trainingMode": mode,
                "trainingType": "MANUAL",
                "status": PENDING,
            },
            tags=tags,
            solutionArn=solution.arn,
        )
        self.enqueue(TRAINING, version, group)
        return {"solutionVersionArn": version.arn}

    def stop_solution_version_creation(self, request: Document) -> None:
        """Stop a training: at once while no worker has it, otherwise when its worker says so."""
        version = self.find(KINDS["SolutionVersion"], request["solutionVersionArn"])
        if version.status not in (PENDING, IN_PROGRESS):
            raise Refused(IN_USE)
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
            versions = self.all("SolutionVersion", solutionArn=resource.arn)
            if versions:
                return described | {"latestSolutionVersion": self.summary(versions[-1])}
        return described
