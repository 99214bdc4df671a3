"""GetRecommendations while what serves is changed and broken: `python -m benchmarks.faults.changes`.

Two versions of a solution know different items, so an answer shows which of them gave it, and one that mixes both is
seen. Clients ask all the time, each over a channel of its own with the retry policy of the contracts, while one thing
after the other happens: the campaign is updated to and fro, a version is trained, the control plane is killed and comes
back, so does the events service, the shared store is away, a version with a damaged file is rolled out and mended, a
worker is killed, and the whole runtime is stopped and started. Of each is told how many calls were made, how many
failed, how many answers mixed versions or were of neither, and how long calls took.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import psutil

from benchmarks.processes import repeat_calls
from benchmarks.report import markdown_table, percentile, publish
from benchmarks.system import System, running_system
from cli.demo.items import EVENT, SCHEMAS
from cli.demo.journey import Journey
from common.errors import Unavailable
from common.rpc import channel
from common.rpc.probe import is_serving
from common.testing import wait_until
from protos.tailorbird.runtime.v1.runtime_service_pb2 import GetRecommendationsRequest
from protos.tailorbird.runtime.v1.runtime_service_pb2_grpc import RuntimeServiceStub

_RESULTS: Final = 10
_USERS: Final = 60
_ITEMS: Final = 40
_EVENTS: Final = 30
_PAUSE_SECONDS: Final = 0.005
_PATIENCE_SECONDS: Final = 120.0
#: By the first letter of its items, which version gave an answer.
_VERSIONS: Final = ("a", "b")


@dataclass(slots=True)
class Observation:
    """What clients saw while something happened.

    Attributes:
        calls: How many were made.
        failed: The errors of those that failed.
        mixed: Answers of more than one version, too short, or of none.
        millis: How long each call took.
        versions: Those that gave answers.
    """

    calls: int = 0
    failed: list[str] = field(default_factory=list)
    mixed: int = 0
    millis: list[float] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)

    def figures(self) -> dict[str, Any]:
        """Return what is published."""
        ordered = sorted(self.millis) or [0.0]
        return {
            "calls": self.calls,
            "failed": len(self.failed),
            "mixed": self.mixed,
            "p50_ms": round(percentile(ordered, 0.5), 1),
            "p99_ms": round(percentile(ordered, 0.99), 1),
            "most_ms": round(ordered[-1], 1),
            "versions": "".join(sorted(self.versions)),
            "errors": sorted(set(self.failed))[:3],
        }


class Clients:
    """Clients that call all the time while something happens.

    Args:
        system: Whose runtime they call.
        campaign: ARN of the campaign.
        count: How many there are.
    """

    def __init__(self, system: System, campaign: str, *, count: int) -> None:
        self._address = system.ports.address("runtime_service")
        self._token = system.token()
        self._campaign = campaign
        self._count = count

    def watch(self, happen: Callable[[], None], *, seconds: float) -> Observation:
        """Let something happen under load, go on for some seconds afterwards, and return what was seen."""
        seen, lock, local = Observation(), threading.Lock(), threading.local()
        channels: list[grpc.Channel] = []

        def stub() -> RuntimeServiceStub:
            if not hasattr(local, "stub"):
                opened = channel(self._address, token=self._token)
                local.stub = RuntimeServiceStub(opened)
                with lock:
                    channels.append(opened)
            kept: RuntimeServiceStub = local.stub
            return kept

        def call() -> None:
            with lock:
                seen.calls += 1
                user = f"user-{seen.calls % _USERS}"
            request = GetRecommendationsRequest(campaign_arn=self._campaign, user_id=user, num_results=_RESULTS)
            began = time.monotonic()
            try:
                items = [item.item_id for item in stub().GetRecommendations(request).item_list]
            except grpc.RpcError as error:
                with lock:
                    seen.failed.append(f"{error.code().name}: {error.details()}"[:200])
                return
            versions = {item[0] for item in items}
            with lock:
                seen.millis.append(1000 * (time.monotonic() - began))
                seen.mixed += len(items) != _RESULTS or len(versions) != 1
                seen.versions |= versions

        over = threading.Event()
        failures: list[BaseException] = []

        def happen_once() -> None:
            try:
                happen()
                time.sleep(seconds)
            except BaseException as error:
                failures.append(error)
                raise
            finally:
                over.set()

        happening = threading.Thread(target=happen_once)
        happening.start()
        try:
            while not over.is_set():
                repeat_calls(call, clients=self._count, seconds=0.5, pause_seconds=_PAUSE_SECONDS)
        finally:
            happening.join()
            for opened in channels:
                opened.close()
        if failures:
            raise failures[0]
        return seen


@dataclass(slots=True)
class Changes:
    """What happens to a system, one after the other.

    Args:
        system: Runs.
        journey: Its resources.
        campaign: ARN of the campaign.
        solution: ARN of the solution.
        versions: ARNs of two versions, of the items a and b.
        away_seconds: How long something is away.
    """

    system: System
    journey: Journey
    campaign: str
    solution: str
    versions: Sequence[str]
    away_seconds: float

    def all(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield what happens, with its name."""
        yield "nothing", lambda: None
        yield "campaign updated four times", self.updates
        yield "a version trained", self.trained
        yield "control plane killed, back later", lambda: self.away("control_plane")
        yield "events service killed, back later", lambda: self.away("events_service")
        yield "store away", self.store_away
        yield "damaged version rolled out, then mended", self.damaged
        yield "a worker killed", self.worker_killed
        yield "runtime stopped and started", self.restarted

    def updates(self) -> None:
        """Update the campaign to the other version and back, twice."""
        for version in (*self.versions[::-1], *self.versions[::-1]):
            self.update(version)

    def trained(self) -> None:
        """Train another version, which nothing serves."""
        self.journey.train(self.solution)

    def update(self, version: str) -> None:
        """Update the campaign and wait until the update is ACTIVE.

        Raises:
            Unavailable: It failed.
        """
        personalize = self.journey.clients.personalize
        personalize.update_campaign(campaignArn=self.campaign, solutionVersionArn=version)
        wait_until(
            lambda: self._update_status() not in {"CREATE PENDING", "CREATE IN_PROGRESS"},
            seconds=_PATIENCE_SECONDS,
            every=0.1,
        )
        if self._update_status() != "ACTIVE":
            raise Unavailable(f"update to {version}: got {self._update_status()}, want ACTIVE")

    def away(self, name: str) -> None:
        """Suspend a process, which answers nobody, kill it after a while, and wait until another one serves."""
        process = self._process(name)
        process.suspend()
        time.sleep(self.away_seconds)
        process.kill()
        wait_until(lambda: self._is_back(name, process.pid), seconds=_PATIENCE_SECONDS, every=0.1)

    def store_away(self) -> None:
        """Move the folder of the shared store away for a while."""
        store = self.system.installation.store
        hidden = store.with_name("away")
        store.rename(hidden)
        time.sleep(self.away_seconds)
        if store.exists():  # somebody made it anew: what they wrote must not be lost
            raise Unavailable(f"{store}: got a new folder while it was away, want nobody to make one")
        hidden.rename(store)

    def damaged(self) -> None:
        """Roll out a version with a damaged file, see it refused, mend it, and roll it out again.

        Raises:
            Unavailable: It was not refused.
        """
        before = set(self._vectors())
        version = self.journey.train(self.solution)
        (path,) = set(self._vectors()) - before
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        try:
            self.update(version)
        except Unavailable:
            pass
        else:
            raise Unavailable(f"{path}: got it served with a damaged byte, want it refused")
        time.sleep(self.away_seconds)
        path.write_bytes(content)
        self.update(version)

    def worker_killed(self) -> None:
        """Kill one worker and wait until the runtime has as many again."""
        runtime = self._process("runtime_service")
        before = [child.pid for child in runtime.children()]
        psutil.Process(before[-1]).kill()
        wait_until(
            lambda: len(now := [child.pid for child in runtime.children()]) == len(before) and now != before,
            seconds=_PATIENCE_SECONDS,
            every=0.1,
        )

    def restarted(self) -> None:
        """Stop the runtime as an operator does; the supervisor starts it again."""
        runtime = self._process("runtime_service")
        runtime.send_signal(signal.SIGTERM)
        wait_until(lambda: self._is_back("runtime_service", runtime.pid), seconds=_PATIENCE_SECONDS, every=0.1)

    def _vectors(self) -> list[Path]:
        paths = self.system.installation.store.glob("artifacts/**/item_vectors.npy")
        return [path for path in paths if "measured" not in str(path)]

    def _update_status(self) -> str:
        described = self.journey.clients.personalize.describe_campaign(campaignArn=self.campaign)["campaign"]
        status: str = described.get("latestCampaignUpdate", described)["status"]
        return status

    def _process(self, name: str) -> psutil.Process:
        """Return a process of the system, without the workers that it has forked.

        Raises:
            Unavailable: There is none.
        """
        address = self.system.ports.address(name)
        for process in psutil.process_iter():
            try:
                command, environ, parent = process.cmdline(), process.environ(), process.parent()
                is_child = parent is not None and "up" in parent.cmdline()
            except psutil.Error:
                continue
            if is_child and name in command and environ.get("TAILORBIRD_LISTEN") == address:
                return process
        raise Unavailable(f"{name}: got no process of the system, want one")

    def _is_back(self, name: str, gone: int) -> bool:
        return not psutil.pid_exists(gone) and is_serving(self.system.ports.address(name))


def write_interactions(path: Path, letter: str) -> None:
    """Write what users did with the items of one version."""
    lines = [
        f"user-{user},{letter}-{(user * 7 + step * step) % _ITEMS},{1_700_000_000 + step},{EVENT},1"
        for user in range(_USERS)
        for step in range(_EVENTS)
    ]
    path.write_text("\n".join(["USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE", *lines]) + "\n")


@contextmanager
def prepared(folder: Path, *, away_seconds: float) -> Iterator[Changes]:
    """Start a system with two workers, and train and serve the versions."""
    with running_system(
        folder, settings={"TAILORBIRD_WORKERS": "2", "TAILORBIRD_RUNTIME_LOADING_SECONDS": "20"}
    ) as system:
        journey = Journey(system.clients(), suffix="changes")
        journey.create_datasets({"Interactions": SCHEMAS["Interactions"]})
        bucket = system.installation.buckets / "changes"
        bucket.mkdir(parents=True)
        versions: list[str] = []
        solution = ""
        for letter in _VERSIONS:
            write_interactions(bucket / f"{letter}.csv", letter)
            Journey.import_csv(_renamed(journey, letter), {"Interactions": f"s3://changes/{letter}.csv"})
            solution = solution or journey.create_solution("popular", "aws-popularity-count")
            versions.append(journey.train(solution))
        campaign = journey.create_campaign("films", versions[0])
        yield Changes(system, journey, campaign, solution, versions, away_seconds)


def _renamed(journey: Journey, suffix: str) -> Journey:
    """Return the same journey under another suffix: names of import jobs are taken once."""
    return Journey(
        journey.clients,
        suffix=f"{journey.suffix}-{suffix}",
        dataset_group_arn=journey.dataset_group_arn,
        schemas=journey.schemas,
        datasets=journey.datasets,
    )


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=4, help="how many ask at a time")
    parser.add_argument("--away-seconds", type=float, default=10.0, help="how long what breaks is away")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long calls go on after each change")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    parser.add_argument(
        "--only", type=int, nargs="+", default=[], help="numbers of the changes, from 0; all by default"
    )
    arguments = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        prepared(Path(folder), away_seconds=arguments.away_seconds) as changes,
    ):
        clients = Clients(changes.system, changes.campaign, count=arguments.clients)
        for number, (name, happen) in enumerate(changes.all()):
            if arguments.only and number not in arguments.only:
                continue
            rows[name] = clients.watch(happen, seconds=arguments.seconds).figures()
    table = markdown_table(
        ("meanwhile", "calls", "failed", "mixed", "p50 ms", "p99 ms", "slowest ms", "versions", "errors"),
        [(name, *row.values()) for name, row in rows.items()],
    )
    settings = {"clients": arguments.clients, "away_seconds": arguments.away_seconds}
    publish({"settings": settings, "changes": rows}, table=table, output=arguments.output)


if __name__ == "__main__":
    main()
