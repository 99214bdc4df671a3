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
    INVALID,
    KINDS,
    NOT_FOUND,
    PENDING,
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
#: A worker that has not called for so long is forgotten.
FORGOTTEN = LIVENESS * 20


@dataclass(eq=False)
class Deployment:
    """What a campaign serves or is to serve: the first by its creation, the others by updates.

    Attributes:
        id: The service's name for it; empty until a worker was told it.
        version: The solution version.
        shown: What Describe answers of it as an update.
    """

    version: Resource
    shown: Document
    id: str = ""

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


class Model(OutputRules):
    """All rules: what is served is the last of them."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.workers: dict[str, Worker] = {}
        #: Revision and number of the set of assignments that each worker was given last.
        self.given: dict[str, tuple[int, int]] = {}
        self.deployments: dict[Resource, list[Deployment]] = {}
        self.served: dict[Resource, Deployment] = {}
        #: Number of sets of assignments given so far; of each deleted campaign, how many it was in.
        self.sets = 0
        self.deleted: dict[Resource, int] = {}

    # Operations

    def create_campaign(self, request: Document) -> Document:
        name, tps = check_name(request["name"]), check_tps(request.get("minProvisionedTPS", 1))
        tags = check_tags(request.get("tags", []))
        version, is_latest = self.version(request["solutionVersionArn"])
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
        self.deploy(campaign, version, tps, request.get("campaignConfig"))
        return {"campaignArn": campaign.arn}

    def update_campaign(self, request: Document) -> Document:
        """Have another version or configuration served; what is left out stays. One update at a time."""
        if not {"solutionVersionArn", "minProvisionedTPS", "campaignConfig"} & request.keys():
            raise Refused(INVALID)
        campaign = self.find(KINDS["Campaign"], request["campaignArn"])
        if campaign.status not in (ACTIVE, FAILED) or self.under_way(campaign):
            raise Refused(IN_USE)
        current = self.served.get(campaign, self.deployments[campaign][-1])
        config = request.get("campaignConfig", current.shown.get("campaignConfig"))
        if "solutionVersionArn" in request:
            version, is_latest = self.version(request["solutionVersionArn"])
        else:
            version, is_latest = current.version, True
            if follows(config) and not follows(current.config):
                version = (self.newer(version) or [version])[-1]
        self.check_served(version, config or {}, is_latest=is_latest)
        tps = check_tps(request.get("minProvisionedTPS", current.shown["minProvisionedTPS"]))
        if version.parents["solutionArn"] != campaign.parents["solutionArn"]:
            raise Refused(INVALID)
        self.deploy(campaign, version, tps, config)
        campaign.described["lastUpdatedDateTime"] = self.now()
        return {"campaignArn": campaign.arn}

    def delete_campaign(self, request: Document) -> None:
        """Begin to delete a campaign, whose creation is broken off; not while an update runs."""
        campaign = self.find(KINDS["Campaign"], request["campaignArn"])
        if campaign.status in (DELETE_PENDING, DELETE_IN_PROGRESS):
            raise Refused(IN_USE)
        if self.under_way(campaign) and len(self.deployments[campaign]) > 1:
            raise Refused(IN_USE)
        self.set_status(campaign, DELETE_PENDING)
        self.deleted[campaign] = self.sets
        for deployment in self.under_way(campaign):
            deployment.shown["status"] = DELETE_PENDING

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

    def deploy(self, campaign: Resource, version: Resource, tps: int, config: Document | None) -> None:
        shown = {
            "solutionVersionArn": version.arn,
            "minProvisionedTPS": tps,
            "campaignConfig": config,
            "status": PENDING,
            "creationDateTime": self.now(),
            "lastUpdatedDateTime": self.now(),
        }
        self.deployments[campaign].append(Deployment(version, without_none(shown)))

    def under_way(self, campaign: Resource) -> list[Deployment]:
        return [deployment for deployment in self.deployments[campaign] if deployment.is_under_way]

    def newer(self, version: Resource) -> list[Resource]:
        """Return the ACTIVE versions of a solution that are newer than one."""
        versions = (item for item in self.resources.values() if item.parents == version.parents)
        newer = [item for item in versions if item.status == ACTIVE and item.position > version.position]
        return sorted((item for item in newer if item.kind is version.kind), key=lambda item: item.position)

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
        """Return what every worker has to load, by the campaign's ARN: the newest deployment that has not failed."""
        assigned = {}
        for campaign in self.deployments:
            if campaign.status in (DELETE_PENDING, DELETE_IN_PROGRESS):
                continue
            to_load = [*self.under_way(campaign), *([self.served[campaign]] if campaign in self.served else [])]
            if to_load:
                assigned[campaign.arn] = to_load[0]
        return assigned

    def watch(self, name: str) -> None:
        """Take a call of a worker, which says which set of assignments it has."""
        worker = self.worker(name)
        confirmed = self.given.get(name)
        if worker.confirmed != confirmed:
            worker.confirmed = confirmed
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

    def reconcile(self) -> None:
        """Bring campaigns in line with what the live workers say."""
        live = [worker for worker in self.workers.values() if worker.last_call >= self.now() - LIVENESS]
        for campaign in list(self.deployments):
            for deployment in self.under_way(campaign):
                self.evaluate(campaign, deployment, live)
        for campaign, n_sets in list(self.deleted.items()):
            # It is gone when every live worker has confirmed a set that it is not in.
            if all(worker.confirmed is not None and worker.confirmed[1] > n_sets for worker in live):
                self.remove(campaign)
                del self.deleted[campaign], self.deployments[campaign]
                self.served.pop(campaign, None)
            elif campaign.status == DELETE_PENDING:
                self.set_status(campaign, DELETE_IN_PROGRESS)
        for campaign in list(self.deployments):
            if campaign.status == ACTIVE:
                self.keep_up(campaign, live)

    def evaluate(self, campaign: Resource, deployment: Deployment, live: list[Worker]) -> None:
        """Decide whether a deployment is served: when all live workers have loaded it, and none has failed."""
        reports = [worker.reports[deployment] for worker in live if deployment in worker.reports]
        if not reports:
            return
        if deployment.status == PENDING:
            self.mark(campaign, deployment, IN_PROGRESS)
        final = [report for report in reports if report[0] != "LOADING"]
        since = deployment.shown["lastUpdatedDateTime"]
        if len(final) < len(live) and self.now() - since < LOADING:
            return
        failed = [report for report in final if report[0] == "FAILED"]
        if failed or not final:
            self.mark(campaign, deployment, FAILED, failure_reason(failed, live) if failed else Mentions("none of"))
        else:
            self.served[campaign] = deployment
            self.mark(campaign, deployment, ACTIVE)

    def mark(self, campaign: Resource, deployment: Deployment, status: str, reason: object = None) -> None:
        """Set the state of a deployment, and the campaign's if it is the first or now serves."""
        deployment.shown |= without_none({"status": status, "lastUpdatedDateTime": self.now(), "failureReason": reason})
        if deployment is self.deployments[campaign][0] or status == ACTIVE:
            campaign.described.pop("failureReason", None)
            self.set_status(campaign, status, reason)

    def keep_up(self, campaign: Resource, live: list[Worker]) -> None:
        """Show what live workers cannot serve, and move a campaign that follows its solution to the newest version.

        A version that was tried before is not tried again without UpdateCampaign.
        """
        served = self.served[campaign]
        failed = [worker.reports[served] for worker in live if worker.reports.get(served, ("",))[0] == "FAILED"]
        campaign.described.pop("failureReason", None)
        if failed:
            campaign.described["failureReason"] = failure_reason(failed, live)
        if not follows(served.config) or self.under_way(campaign):
            return
        tried = {deployment.version for deployment in self.deployments[campaign]}
        untried = [version for version in self.newer(served.version) if version not in tried]
        if untried:
            self.deploy(campaign, untried[-1], served.shown["minProvisionedTPS"], served.shown.get("campaignConfig"))


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
