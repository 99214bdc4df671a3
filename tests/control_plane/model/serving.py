"""The rules of campaigns and of the runtime workers that serve them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.control_plane.model.outputs import OutputRules
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
    START_IN_PROGRESS,
    START_PENDING,
    STOP_IN_PROGRESS,
    STOP_PENDING,
    Document,
    Mentions,
    Refused,
    Resource,
    check_name,
    check_tags,
    require_active,
    without_none,
)
from tests.control_plane.model.training import WITH_CAMPAIGNS, WITH_EXPLORATION

#: A worker that has not called for so long does not count.
LIVENESS = timedelta(seconds=30)
#: So long a deployment waits for workers that do not say whether they have loaded it.
LOADING = timedelta(seconds=900)
#: States in which no worker serves a target.
UNSERVED = (DELETE_PENDING, DELETE_IN_PROGRESS, STOP_PENDING, STOP_IN_PROGRESS, INACTIVE)
#: A worker that has not called for so long is forgotten.
FORGOTTEN = LIVENESS * 20


@dataclass(eq=False)
class Deployment:
    """What a target serves or is to serve: the first by its creation, the others by updates.

    Attributes:
        version: The solution version.
        shown: What Describe answers of it as an update.
        is_refused: It never was to be served, for its version is worse than the one before.
    """

    version: Resource
    shown: Document
    is_refused: bool = False

    @property
    def status(self) -> str:
        return self.shown["status"]

    @property
    def config(self) -> Document:
        return self.shown.get("campaignConfig", {})

    @property
    def is_under_way(self) -> bool:
        return self.status in (PENDING, IN_PROGRESS)


@dataclass(eq=False)
class Worker:
    """A runtime worker.

    Attributes:
        last_call: When it called last.
        confirmed: Those of the set that it has loaded, by its last call.
        reports: Phase and reason of each deployment in its last report.
    """

    last_call: datetime
    confirmed: tuple[int, int] | None = None
    reports: dict[Deployment, tuple[str, str | None]] = field(default_factory=dict)


class ServingRules(OutputRules):
    """What is served: a target is a campaign or a recommender."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.workers: dict[str, Worker] = {}
        #: Revision and number of the set of assignments that each worker was given last.
        self.given: dict[str, tuple[int, int]] = {}
        self.deployments: dict[Resource, list[Deployment]] = {}
        self.served: dict[Resource, Deployment] = {}
        #: Number of sets of assignments given so far; of each target to be dropped, how many it was in.
        self.sets = 0
        self.dropped: dict[Resource, int] = {}

    # Operations

    def create_campaign(self, request: Document) -> Document:
        name, tps = check_name(request["name"]), check_tps(request.get("minProvisionedTPS", 1))
        tags = check_tags(request.get("tags", []))
        version, is_latest = self.version(request["solutionVersionArn"])
        refused: list[Resource] = []
        if is_latest:
            chosen, refused = self.choose(self.active_versions(version))
            version, refused = (chosen, refused) if chosen else (version, [])
        self.check_served(version, request.get("campaignConfig", {}), is_latest=is_latest)
        solution = version.parents["solutionArn"]
        campaign = self.add(
            "Campaign",
            {"name": name, "campaignArn": self.arn("campaign", name), "status": PENDING},
            tags=tags,
            solutionArn=solution,
        )
        group = version.described["datasetGroupArn"]
        solutions = self.all("Solution", datasetGroupArn=group)
        used = sum(len(self.all("Campaign", solutionArn=solution.arn)) for solution in solutions)
        self.check_new("campaigns_per_group", campaign, used - 1)
        self.deployments[campaign] = []
        self.deploy(campaign, version, campaign_members(version, tps, request.get("campaignConfig")))
        self.refuse(campaign, self.deployments[campaign][0], refused)
        return {"campaignArn": campaign.arn}

    def update_campaign(self, request: Document) -> Document:
        """Have another version or configuration served; what is left out stays. One update at a time."""
        if not {"solutionVersionArn", "minProvisionedTPS", "campaignConfig"} & request.keys():
            raise Refused(INVALID)
        campaign = self.find(KINDS["Campaign"], request["campaignArn"])
        if campaign.status not in (ACTIVE, FAILED) or self.under_way(campaign):
            raise Refused(IN_USE)
        current = self.current(campaign)
        config = request.get("campaignConfig", current.shown.get("campaignConfig"))
        if "solutionVersionArn" in request:
            version, is_latest = self.version(request["solutionVersionArn"])
        else:
            version, is_latest = current.version, True
            if follows(config) and not follows(current.config):
                version = self.choose(self.newer(version))[0] or version
        self.check_served(version, config or {}, is_latest=is_latest)
        tps = check_tps(request.get("minProvisionedTPS", current.shown["minProvisionedTPS"]))
        if version.parents["solutionArn"] != campaign.parents["solutionArn"]:
            raise Refused(INVALID)
        self.deploy(campaign, version, campaign_members(version, tps, config))
        campaign.described["lastUpdatedDateTime"] = self.now()
        return {"campaignArn": campaign.arn}

    def delete_campaign(self, request: Document) -> None:
        """Begin to delete a campaign, whose creation is broken off; not while an update runs."""
        campaign = self.find(KINDS["Campaign"], request["campaignArn"])
        self.begin_deletion(campaign)

    def begin_deletion(self, target: Resource) -> None:
        if target.status in (DELETE_PENDING, DELETE_IN_PROGRESS):
            raise Refused(IN_USE)
        self.require_no_update(target)
        self.set_status(target, DELETE_PENDING)
        self.dropped[target] = self.sets
        for deployment in self.under_way(target):
            deployment.shown["status"] = DELETE_PENDING

    def require_no_update(self, target: Resource) -> None:
        if any(deployment is not self.deployments[target][0] for deployment in self.under_way(target)):
            raise Refused(IN_USE)

    def current(self, target: Resource) -> Deployment:
        """Return the deployment that an update begins from: what is served, or was to be served last."""
        tried = [deployment for deployment in self.deployments[target] if not deployment.is_refused]
        return self.served.get(target, tried[-1])

    def version(self, arn: str) -> tuple[Resource, bool]:
        """Return the version of an ARN, which may name the newest ACTIVE one: SOLUTION/$LATEST."""
        if not arn.endswith("/$LATEST"):
            if arn in self.resources and self.resources[arn].kind.word == "Solution":
                raise Refused(NOT_FOUND)
            return self.find(KINDS["SolutionVersion"], arn), False
        solution = self.find(KINDS["Solution"], arn.removesuffix("/$LATEST"))
        active = [one for one in self.all("SolutionVersion", solutionArn=solution.arn) if one.status == ACTIVE]
        if not active:
            raise Refused(NOT_FOUND)
        return active[-1], True

    def check_served(self, version: Resource, config: Document, *, is_latest: bool) -> None:
        """Check that a version can be served in this way: by its recipe's options, and ACTIVE like its solution."""
        require_active(version)
        require_active(self.resources[version.parents["solutionArn"]])
        recipe = version.described["recipeArn"]
        if recipe not in WITH_CAMPAIGNS:
            raise Refused(INVALID)
        if follows(config) and not is_latest:
            raise Refused(INVALID)
        if config.get("itemExplorationConfig") and recipe not in WITH_EXPLORATION:
            raise Refused(INVALID)

    def deploy(self, target: Resource, version: Resource, members: Document, status: str = PENDING) -> Deployment:
        times = {"creationDateTime": self.now(), "lastUpdatedDateTime": self.now()}
        deployment = Deployment(version, without_none({**members, "status": status, **times}))
        self.deployments[target].append(deployment)
        return deployment

    def under_way(self, target: Resource) -> list[Deployment]:
        return [deployment for deployment in self.deployments[target] if deployment.is_under_way]

    def active_versions(self, version: Resource) -> list[Resource]:
        """Return the ACTIVE versions of a version's solution, the newest first."""
        versions = [*self.resources.values(), *self.trainings.values()]
        active = [one for one in versions if one.kind is version.kind and one.status == ACTIVE]
        same = [one for one in active if one.parents == version.parents]
        return sorted(same, key=lambda one: one.position, reverse=True)

    def newer(self, version: Resource) -> list[Resource]:
        """Return the ACTIVE versions of a solution that are newer than one, the newest first."""
        return [one for one in self.active_versions(version) if one.position > version.position]

    def choose(self, versions: list[Resource]) -> tuple[Resource | None, list[Resource]]:
        """Return the first version that is not worse than the one before it, and those that come before that."""
        good = [version for version in versions if version not in self.worse]
        return (good[0], versions[: versions.index(good[0])]) if good else (None, versions)

    def refuse(self, target: Resource, serving: Deployment, versions: list[Resource]) -> None:
        """Show versions that a target does not move to, as updates that failed."""
        for version in versions:
            deployment = self.deploy(target, version, self.again(serving, version), FAILED)
            deployment.is_refused = True
            deployment.shown["failureReason"] = Mentions("refused", version.arn, serving.version.arn)

    def again(self, deployment: Deployment, version: Resource) -> Document:
        """Return the members of a deployment of another version that is served in the same way."""
        shown = deployment.shown
        return campaign_members(version, shown["minProvisionedTPS"], shown.get("campaignConfig"))

    def shown(self, resource: Resource) -> Document:
        """Return what Describe answers: of a campaign with what it serves, or will serve first, and its last update."""
        described = super().shown(resource)
        if resource.kind.word != "Campaign":
            return described
        deployments = self.deployments[resource]
        current = self.served.get(resource, deployments[0]).shown
        members = ("solutionVersionArn", "minProvisionedTPS", "campaignConfig")
        described = described | {member: current[member] for member in members if member in current}
        return described | ({"latestCampaignUpdate": deployments[-1].shown} if len(deployments) > 1 else {})

    # Runtime workers

    def assignments(self) -> dict[str, Deployment]:
        """Return what every worker has to load, by the target's ARN: the newest deployment that has not failed."""
        assigned = {}
        for target in self.deployments:
            if target.status in UNSERVED:
                continue
            to_load = [one for one in self.under_way(target) if one.version.status == ACTIVE]
            to_load += [self.served[target]] if target in self.served else []
            if to_load:
                assigned[target.arn] = to_load[0]
        return assigned

    def watch(self, name: str) -> None:
        """Take a call of a worker, which says which set of assignments it has."""
        worker = self.worker(name)
        before, worker.confirmed = worker.confirmed, self.given.get(name)
        if (before or (None,))[0] != (worker.confirmed or (None,))[0]:
            self.reconcile()

    def give(self, name: str, revision: int) -> None:
        """Give a worker the present set of assignments; the service numbers them by revisions."""
        self.sets += 1
        self.given[name] = (revision, self.sets)

    def report(self, name: str, reports: dict[Deployment, tuple[str, str | None]]) -> None:
        """Take a worker's report on its deployments, which replaces the one before."""
        self.worker(name).reports = reports
        self.reconcile()

    def worker(self, name: str) -> Worker:
        worker = self.workers.setdefault(name, Worker(self.now()))
        worker.last_call = self.now()
        return worker

    def sweep(self) -> None:
        """Do what no call brings about."""
        self.expire()
        self.reconcile()
        forgotten = [name for name, worker in self.workers.items() if worker.last_call < self.now() - FORGOTTEN]
        for name in forgotten:
            del self.workers[name]
        self.run_schedules()

    def reconcile(self) -> None:
        """Bring targets in line with what the live workers say."""
        live = [worker for worker in self.workers.values() if worker.last_call >= self.now() - LIVENESS]
        for target in list(self.deployments):
            for deployment in self.under_way(target):
                # A recommender's may wait for its training.
                if deployment.version.status == ACTIVE:
                    self.evaluate(target, deployment, live)
            if target.status in (START_PENDING, START_IN_PROGRESS):
                self.evaluate_start(target, live)
        for target, n_sets in list(self.dropped.items()):
            # It is dropped when every live worker has confirmed a set that it is not in.
            self.go_on_dropping(
                target,
                is_dropped=all(worker.confirmed is not None and worker.confirmed[1] > n_sets for worker in live),
            )
        for target in list(self.deployments):
            if target.status == ACTIVE:
                self.keep_up(target, live)

    def go_on_dropping(self, target: Resource, *, is_dropped: bool) -> None:
        """Remove a campaign that no worker has any more."""
        if is_dropped:
            self.remove(target)
        elif target.status == DELETE_PENDING:
            self.set_status(target, DELETE_IN_PROGRESS)

    def remove(self, resource: Resource) -> None:
        super().remove(resource)
        for by_target in (self.dropped, self.deployments, self.served):
            by_target.pop(resource, None)

    def loading(self, deployment: Deployment, live: list[Worker]) -> tuple[bool, bool, Mentions | None]:
        """Return whether any live worker has heard of a deployment, whether all have ended, and why it failed."""
        reports = [worker.reports[deployment] for worker in live if deployment in worker.reports]
        final = [report for report in reports if report[0] != "LOADING"]
        since = deployment.shown["lastUpdatedDateTime"]
        if not reports or (len(final) < len(live) and self.now() - since < LOADING):
            return bool(reports), False, None
        failed = [report for report in final if report[0] == "FAILED"]
        if failed:
            return True, True, failure_reason(failed, live)
        return True, True, None if final else Mentions("none of")

    def evaluate(self, target: Resource, deployment: Deployment, live: list[Worker]) -> None:
        """Decide whether a deployment is served: when all live workers have loaded it, and none has failed."""
        has_begun, has_ended, reason = self.loading(deployment, live)
        if has_begun and deployment.status == PENDING:
            self.mark(target, deployment, IN_PROGRESS)
        if has_ended and reason is None:
            self.activate(target, deployment)
        elif has_ended:
            self.mark(target, deployment, FAILED, reason)

    def evaluate_start(self, target: Resource, live: list[Worker]) -> None:
        """Decide whether a recommender that is started again is served; one that cannot be loaded is tried again."""
        has_begun, has_ended, reason = self.loading(self.served[target], live)
        target.described.pop("failureReason", None)
        if has_ended and reason is None:
            self.set_status(target, ACTIVE)
        elif has_begun and target.status == START_PENDING:
            self.set_status(target, START_IN_PROGRESS)
        target.described |= without_none({"failureReason": reason})

    def mark(self, target: Resource, deployment: Deployment, status: str, reason: object = None) -> None:
        """Set the state of a deployment that is not served, and the target's if it is the first."""
        deployment.shown |= without_none({"status": status, "lastUpdatedDateTime": self.now(), "failureReason": reason})
        if deployment is self.deployments[target][0]:
            target.described.pop("failureReason", None)
            self.set_status(target, status, reason)

    def activate(self, target: Resource, deployment: Deployment) -> None:
        """Let a target answer with a deployment; a recommender that is stopped stays so."""
        deployment.shown |= {"status": ACTIVE, "lastUpdatedDateTime": self.now()}
        self.served[target] = deployment
        target.described["lastUpdatedDateTime"] = self.now()
        if target.status != INACTIVE:
            target.described.pop("failureReason", None)
            self.set_status(target, ACTIVE)

    def keep_up(self, target: Resource, live: list[Worker]) -> None:
        """Show what live workers cannot serve, and move a target that follows its solution to the newest version.

        A version that was tried before, or refused, is not tried again without an update.
        """
        served = self.served[target]
        failed = [worker.reports[served] for worker in live if worker.reports.get(served, ("",))[0] == "FAILED"]
        target.described.pop("failureReason", None)
        if failed:
            target.described["failureReason"] = failure_reason(failed, live)
        if not self.is_following(target) or self.under_way(target):
            return
        tried = {deployment.version for deployment in self.deployments[target]}
        version, refused = self.choose([one for one in self.newer(served.version) if one not in tried])
        self.refuse(target, served, refused)
        if version is not None:
            self.deploy(target, version, self.again(served, version))

    def is_following(self, target: Resource) -> bool:
        return follows(self.served[target].config)


def campaign_members(version: Resource, tps: int, config: Document | None) -> Document:
    """Return what is shown of a campaign's deployment."""
    return {"solutionVersionArn": version.arn, "minProvisionedTPS": tps, "campaignConfig": config}


def failure_reason(failed: list[tuple[str, str | None]], live: list[Worker]) -> Mentions:
    reasons = {reason for _, reason in failed if reason is not None}
    return Mentions(f"{len(failed)} of {len(live)} runtime workers", *sorted(reasons))


def check_tps(tps: int) -> int:
    if tps < 1:
        raise Refused(INVALID)
    return tps


def follows(config: Document | None) -> bool:
    """Return whether a campaign moves to new versions of its solution by itself."""
    return bool(config and config.get("syncWithLatestSolutionVersion"))
