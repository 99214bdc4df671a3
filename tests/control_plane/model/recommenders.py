"""The rules of recommenders: a use case that is trained, served and trained again without solutions and campaigns."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from tests.control_plane.model.jobs import REMOVAL, TRAINING
from tests.control_plane.model.rules import (
    ACTIVE,
    DELETE_IN_PROGRESS,
    DELETE_PENDING,
    FAILED,
    IN_PROGRESS,
    IN_USE,
    INACTIVE,
    INVALID,
    KINDS,
    NOT_FOUND,
    PENDING,
    START_PENDING,
    STOP_IN_PROGRESS,
    STOP_PENDING,
    UNDER_WAY,
    Document,
    Kind,
    Refused,
    Resource,
    check_name,
    check_tags,
    require_active,
)
from tests.control_plane.model.serving import Deployment, ServingRules
from tests.control_plane.model.training import FOR_YOU, RECIPE, RECIPES, USE_CASES

#: What a recommender is trained to, and all that it was trained to: no operation shows them.
TRAINED = Kind("Training", "recommender")
ALL_TRAINED = Kind("Trainings", "recommender")
WEEK = timedelta(days=7)


class Model(ServingRules):
    """All rules: recommenders are the last of them."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: The columns that a recommender is trained on from now on: those of the version that it serves.
        self.columns: dict[Resource, Document | None] = {}
        #: Those whose artifacts are to be removed.
        self.removed: set[Resource] = set()

    # Operations

    def create_recommender(self, request: Document) -> Document:
        """Create a recommender, which is trained and then served. The group has a domain, and the use case is of it."""
        name, tags = check_name(request["name"]), check_tags(request.get("tags", []))
        group = require_active(self.find(KINDS["DatasetGroup"], request["datasetGroupArn"]))
        recipe = request["recipeArn"]
        if not recipe.startswith(RECIPE):
            raise Refused(INVALID)
        if recipe not in (*RECIPES, *USE_CASES):
            raise Refused(NOT_FOUND)
        if "domain" not in group.described or USE_CASES.get(recipe) != group.described["domain"]:
            raise Refused(INVALID)
        config = {"minRecommendationRequestsPerSecond": 1} | request.get("recommenderConfig", {})
        check_config(config, recipe)
        recommender = self.add(
            "Recommender",
            {
                "name": name,
                "recommenderArn": self.arn("recommender", name),
                "datasetGroupArn": group.arn,
                "recipeArn": recipe,
                "status": PENDING,
            },
            tags=tags,
            datasetGroupArn=group.arn,
        )
        try:
            self.require_interactions(group.arn)
            self.check_quota("recommenders_per_group", len(self.all("Recommender", datasetGroupArn=group.arn)) - 1)
        except Refused:
            self.remove(recommender)
            raise
        self.deployments[recommender] = []
        version = self.train_recommender(recommender, columns_of(config))
        self.deploy(recommender, version, {"recommenderConfig": config})
        self.columns[recommender] = columns_of(config)
        return {"recommenderArn": recommender.arn}

    def update_recommender(self, request: Document) -> Document:
        """Have another configuration served; what is left out stays. One update at a time.

        It is trained anew on other columns, and where the training before failed. One that is stopped stays so.
        """
        recommender = self.find(KINDS["Recommender"], request["recommenderArn"])
        self.require_status(recommender, ACTIVE, INACTIVE, FAILED)
        current = self.current(recommender)
        before = current.shown["recommenderConfig"]
        config = before | request["recommenderConfig"]
        check_config(config, recommender.described["recipeArn"])
        version = current.version
        if version.status != ACTIVE or columns_of(config) != columns_of(before):
            self.require_interactions(recommender.parents["datasetGroupArn"])
            version = self.train_recommender(recommender, columns_of(config))
        deployment = self.deploy(recommender, version, {"recommenderConfig": config})
        if recommender.status == INACTIVE and version.status == ACTIVE:
            self.activate(recommender, deployment)
        recommender.described["lastUpdatedDateTime"] = self.now()
        return {"recommenderArn": recommender.arn}

    def stop_recommender(self, request: Document) -> Document:
        """Serve a recommender no longer, nor train it every week."""
        recommender = self.find(KINDS["Recommender"], request["recommenderArn"])
        self.require_status(recommender, ACTIVE)
        del self.schedules[recommender]
        self.set_status(recommender, STOP_PENDING)
        self.dropped[recommender] = self.sets
        return {"recommenderArn": recommender.arn}

    def start_recommender(self, request: Document) -> Document:
        """Serve a stopped recommender again, as it was; workers have to load it again."""
        recommender = self.find(KINDS["Recommender"], request["recommenderArn"])
        self.require_status(recommender, INACTIVE)
        before = self.served[recommender]
        again = Deployment(before.version, before.shown | {"lastUpdatedDateTime": self.now()})
        deployments = self.deployments[recommender]
        deployments[deployments.index(before)] = self.served[recommender] = again
        self.start_schedule(recommender, WEEK, WEEK, is_always=True)
        self.set_status(recommender, START_PENDING)
        return {"recommenderArn": recommender.arn}

    def delete_recommender(self, request: Document) -> None:
        """Begin to delete a recommender, whose trainings are stopped; not while an update runs."""
        recommender = self.find(KINDS["Recommender"], request["recommenderArn"])
        self.begin_deletion(recommender)
        self.schedules.pop(recommender, None)
        for version in self.versions_of(recommender):
            if version.status in (PENDING, IN_PROGRESS):
                self.stop_training(version)

    def require_status(self, recommender: Resource, *statuses: str) -> None:
        if recommender.status not in statuses:
            raise Refused(IN_USE)
        self.require_no_update(recommender)

    def shown(self, resource: Resource) -> Document:
        """Return what Describe answers: of a recommender with what it serves, or will serve first, and its update."""
        if resource.kind.word != "Recommender":
            return super().shown(resource)
        deployments = self.deployments[resource]
        current = self.served.get(resource, deployments[0])
        described = resource.described | {"recommenderConfig": current.shown["recommenderConfig"]}
        if current.version.arn in self.metrics:
            described["modelMetrics"] = self.metrics[current.version.arn]
        return described | ({"latestRecommenderUpdate": deployments[-1].shown} if len(deployments) > 1 else {})

    # Trainings

    def versions_of(self, solution: Resource) -> list[Resource]:
        if solution.kind.word != "Recommender":
            return super().versions_of(solution)
        versions = (one for one in self.trainings.values() if one.parents["recommenderArn"] == solution.arn)
        return sorted(versions, key=lambda one: one.position)

    def train_by_schedule(self, subject: Resource, arn: str) -> None:
        if subject.kind.word != "Recommender":
            super().train_by_schedule(subject, arn)
            return
        self.require_interactions(subject.parents["datasetGroupArn"])
        self.train_recommender(subject, self.columns[subject])

    def train_recommender(self, recommender: Resource, columns: Document | None) -> Resource:
        """Let a recommender be trained on some columns, which no quota bounds."""
        new = [arn for arn in self.new_versions() if arn.rpartition("/")[0] == recommender.arn]
        assert len(new) == 1, f"got {new}, want one training of {recommender.arn}"
        assert re.fullmatch("[0-9a-f]{8}", new[0].rpartition("/")[2]), new
        group = recommender.parents["datasetGroupArn"]
        described = {
            "trainingArn": new[0],
            "status": PENDING,
            "trainingType": "AUTOMATIC",
            "datasetGroupArn": group,
            "columns": columns,
            "creationDateTime": self.now(),
        }
        version = Resource(TRAINED, recommender.account, described, {"recommenderArn": recommender.arn})
        self.trainings[version.arn] = version
        self.enqueue(TRAINING, version, group)
        return version

    def set_status(self, resource: Resource, status: str, failure_reason: object = None) -> None:
        """Change the state of a resource; a recommender that waits for a training goes on with it."""
        super().set_status(resource, status, failure_reason)
        if resource.kind is not TRAINED:
            return
        recommender = self.resources[resource.parents["recommenderArn"]]
        for deployment in self.under_way(recommender):
            if deployment.version is not resource:
                continue
            if status == ACTIVE and recommender.status == INACTIVE:
                self.activate(recommender, deployment)
            elif status == ACTIVE:
                # From now on workers have time to load it.
                deployment.shown["lastUpdatedDateTime"] = self.now()
            else:
                self.mark(recommender, deployment, status, failure_reason)

    # What is served

    def activate(self, target: Resource, deployment: Deployment) -> None:
        """Let a target answer with a deployment: a recommender is trained every week from its first on."""
        if target.kind.word == "Recommender":
            if target not in self.served:
                self.start_schedule(target, WEEK, WEEK, is_always=True)
            self.columns[target] = deployment.version.described["columns"]
        super().activate(target, deployment)

    def newer(self, version: Resource) -> list[Resource]:
        """Return newer versions; of a recommender those that were trained on the same columns."""
        columns = version.described.get("columns")
        return [one for one in super().newer(version) if one.described.get("columns") == columns]

    def again(self, deployment: Deployment, version: Resource) -> Document:
        if version.kind is TRAINED:
            return {"recommenderConfig": deployment.shown["recommenderConfig"]}
        return super().again(deployment, version)

    def is_following(self, target: Resource) -> bool:
        return target.kind.word == "Recommender" or super().is_following(target)

    def go_on_dropping(self, target: Resource, *, is_dropped: bool) -> None:
        """Go on to stop or to delete a recommender: what it was trained to is removed when nothing is trained."""
        if target.kind.word != "Recommender":
            super().go_on_dropping(target, is_dropped=is_dropped)
        elif target.status in (STOP_PENDING, STOP_IN_PROGRESS) and is_dropped:
            self.set_status(target, INACTIVE)
            del self.dropped[target]
        elif target.status == STOP_PENDING:
            self.set_status(target, STOP_IN_PROGRESS)
        else:
            self.go_on_deleting(target, is_dropped=is_dropped)

    def go_on_deleting(self, recommender: Resource, *, is_dropped: bool) -> None:
        if recommender.status == DELETE_PENDING:
            self.set_status(recommender, DELETE_IN_PROGRESS)
        being_made = [version for version in self.versions_of(recommender) if version.status in UNDER_WAY]
        if is_dropped and not being_made and recommender not in self.removed:
            # The state of the recommender says no more than before when a worker takes the job.
            trained = Resource(ALL_TRAINED, recommender.account, {"trainingsArn": recommender.arn}, {})
            self.enqueue(REMOVAL, trained, recommender.parents["datasetGroupArn"])
            self.removed.add(recommender)

    def remove(self, resource: Resource) -> None:
        """Remove a resource: a recommender with all that it was trained to."""
        resource = self.resources[resource.arn]
        super().remove(resource)
        for version in self.versions_of(resource) if resource.kind.word == "Recommender" else ():
            del self.trainings[version.arn]


def check_config(config: Document, recipe: str) -> None:
    """Check how a recommender is served."""
    if config["minRecommendationRequestsPerSecond"] < 1:
        raise Refused(INVALID)
    if config.get("itemExplorationConfig") and recipe != FOR_YOU:
        raise Refused(INVALID)


def columns_of(config: Document) -> Document | None:
    """Return the columns that a recommender is trained on; None for all."""
    return config.get("trainingDataConfig")
