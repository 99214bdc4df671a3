"""An events service that is killed again and again under load: `python -m benchmarks.faults.kills`.

Clients put events, items and users and repeat each call, with the same event ids, until it is acknowledged; the dataset
sink flushes all the time; a runtime's tail and a reader of all records follow the log. SIGKILL comes at random moments:
some of the kills meet a start, some a service that answers, some the moments after a commit to a table. At the end
every event must be in its table, in the log and in the runtime's histories once, and the newest put of each item and
user must be the one that holds, in the table, in the log and in the runtime. Anything else ends the command with an
error.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faults.kill_load import ENTITIES, Load, Resources, make_resources
from benchmarks.faults.kill_readers import LogReader, histories, newest_puts, running_tail
from benchmarks.processes import ServiceSettings
from benchmarks.report import markdown_table, publish
from common import columns
from common.errors import Unavailable
from common.logs import configure_logging
from common.rpc import channel
from common.rpc.probe import is_serving
from common.settings import StoreSettings
from common.storage import Store
from common.storage.objects import open_store
from common.tables import Table
from common.testing import wait_until
from protos.tailorbird.control.v1.control_plane_service_pb2_grpc import ControlPlaneServiceStub
from protos.tailorbird.internal.v1.event_log_pb2 import FlushTableRequest
from protos.tailorbird.internal.v1.event_log_pb2_grpc import SealingServiceStub

#: All that goes on in the background goes on all the time.
_BUSY = {
    "TAILORBIRD_SEAL_SECONDS": "0.02",
    "TAILORBIRD_SEAL_BURST_COMMITS": "1000000",
    "TAILORBIRD_COMPACT_COMMITS": "20",
    "TAILORBIRD_WAL_CHECKPOINT_PAGES": "50",
    "TAILORBIRD_DELETION_SECONDS": "0.1",
    "TAILORBIRD_AUDIT_PUTS": "false",
    "TAILORBIRD_LOG_LEVEL": "WARNING",
}
#: After what a kill comes, and how many seconds after it at most: a start, the first acknowledged call, a commit.
_MOMENTS = (("start", 0.3), ("serving", 0.3), ("commit", 0.05))
_SHARES = (1, 1, 2)
_PATIENCE_SECONDS = 120.0
_FLUSH_SECONDS = 60.0


class KilledService:
    """An events service that is started and killed; each start is a process of its own.

    Args:
        settings: Of the installation.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        command = [sys.executable, "-m", "benchmarks.faults.forked_services", str(settings.folder / "events.log")]
        environ = {**settings.environ_of("events_service"), **_BUSY}
        self._starter = subprocess.Popen(
            command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._pid = 0

    def start(self) -> None:
        """Start a process; it need not serve yet."""
        assert self._starter.stdin is not None
        self._starter.stdin.write("start\n")
        self._pid = self._heard()

    def end(self, number: signal.Signals) -> None:
        """End the process by a signal, and wait for that.

        Raises:
            Unavailable: It ended by itself, or otherwise.
        """
        os.kill(self._pid, number)
        if (status := self._heard()) not in (0, -number):
            raise Unavailable(f"events_service: got the end {status}, want {-number}: see its log")

    def close(self) -> None:
        """End what is left."""
        self._starter.kill()
        self._starter.communicate()

    def _heard(self) -> int:
        assert self._starter.stdout is not None
        return int(self._starter.stdout.readline())


def kill_again_and_again(
    service: KilledService, settings: ServiceSettings, load: Load, *, kills: int, dice: random.Random
) -> int:
    """Start and kill a service; it runs afterwards. Return how many kills came before anything was acknowledged."""
    early, pause = 0, threading.Event()
    for _ in range(kills):
        acknowledged, commits = load.acknowledged(), _commits(settings)
        service.start()
        moment, longest_seconds = dice.choices(_MOMENTS, _SHARES)[0]
        if moment == "serving":
            wait_until(lambda: load.acknowledged() > acknowledged, every=0.002, seconds=_PATIENCE_SECONDS)  # noqa: B023 - called here only
        elif moment == "commit":
            wait_until(lambda: _commits(settings) > commits, every=0.002, seconds=_PATIENCE_SECONDS)  # noqa: B023 - as above
        pause.wait(dice.uniform(0, longest_seconds))
        early += load.acknowledged() == acknowledged
        service.end(signal.SIGKILL)
    service.start()
    return early


def _commits(settings: ServiceSettings) -> int:
    """Return how many commits all tables have."""
    return sum(1 for _ in (settings.folder / "store").glob("datasets/*/*/*/_delta_log/*.json"))


def _faults(what: str, counts: Counter[str], sent: Iterable[str]) -> dict[str, int]:
    """Return how many were lost, doubled, and never sent."""
    expected = set(sent)
    return {
        f"{what}: lost": len(expected - counts.keys()),
        f"{what}: doubled": sum(count > 1 for count in counts.values()),
        f"{what}: never sent": len(counts.keys() - expected),
    }


def _stale(what: str, numbers: Mapping[tuple[str, str], int], newest: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Return how many items and users are missing, and of how many another put than the newest holds."""
    return {
        f"{what}: lost": len(newest.keys() - numbers.keys()),
        f"{what}: stale": sum(numbers.get(key, number) != number for key, number in newest.items()),
    }


def _tables(settings: ServiceSettings, store: Store) -> dict[str, Table]:
    """Return the tables that were written, by type of dataset."""
    logs = (settings.folder / "store").glob("datasets/**/_delta_log")
    locations = [path.parent.relative_to(settings.folder / "store").as_posix() for path in logs]
    return {location.split("/")[-1].split("-")[0].upper(): Table(store, location) for location in locations}


def _in_tables(tables: Mapping[str, Table], load: Load) -> dict[str, int]:
    newest = load.newest()
    faults = _faults("events in the table", Counter(tables["INTERACTIONS"].read()[columns.EVENT_ID]), load.events())
    numbers: dict[tuple[str, str], int] = {}
    doubled = 0
    for kind, key in ENTITIES.items():
        rows = tables[kind].read()
        doubled += rows.height - rows[key].n_unique()
        numbers |= {(kind, one): number for one, number in rows.select(key, "NUMBER").iter_rows()}
    return {
        **faults,
        "items and users in tables: doubled": doubled,
        **_stale("items and users in tables", numbers, newest),
    }


def _flush(settings: ServiceSettings, tables: Mapping[str, Table]) -> int:
    """Have all records written to their tables; return the last offset of the log."""
    with channel(settings.addresses["events_service"], token=settings.token("trainer")) as opened:
        stub = SealingServiceStub(opened)
        return max(
            stub.FlushTable(FlushTableRequest(location=table.location), timeout=_FLUSH_SECONDS).log_offset
            for table in tables.values()
        )


def measure(folder: Path, *, kills: int, clients: int, pause_seconds: float, seed: int) -> dict[str, int | float]:
    """Kill an events service and return what was put, and what was lost, doubled or stale.

    Args:
        folder: For everything that is written.
        kills: How often.
        clients: How many put each of events, items and users.
        pause_seconds: Between two calls of a client.
        seed: Of the moments and of what is put.
    """
    settings = ServiceSettings.prepared(folder)
    address, runtime = settings.addresses["events_service"], settings.token("runtime")
    store = open_store(StoreSettings(store_url=settings.environ["TAILORBIRD_STORE_URL"]))
    with settings.running("control_plane"), _killed_service(settings) as service:
        resources = _resources(settings)
        load = Load(
            address, settings.token("client"), resources, clients=clients, pause_seconds=pause_seconds, seed=seed
        )
        reader = LogReader(address, runtime)
        with running_tail(address, runtime, store, folder / "histories") as tail, reader.running(), load.running():
            began = time.monotonic()
            early = kill_again_and_again(service, settings, load, kills=kills, dice=random.Random(seed))
            seconds = time.monotonic() - began
            load.stop()
            wait_until(lambda: is_serving(address), seconds=_PATIENCE_SECONDS)
            end = 1 + _flush(settings, _tables(settings, store))
            wait_until(lambda: tail.next_offset() == reader.next_offset == end, seconds=_PATIENCE_SECONDS)
        service.end(signal.SIGTERM)
    events = load.events()
    kept = histories(folder / "histories", resources.group_arn, set(events.values()))
    puts = newest_puts(folder / "histories", resources.group_arn, load.newest())
    faults = {
        **_in_tables(_tables(settings, store), load),
        **_faults("events in the log", reader.events, events),
        **_stale("items and users in the log", reader.newest, load.newest()),
        **_faults("events in the histories of the runtime", kept, events),
        **_stale("items and users of the runtime", puts, load.newest()),
    }
    return {
        "kills": kills,
        "of these before anything was acknowledged": early,
        "seconds a kill": round(seconds / kills, 2),
        "commits to tables": _commits(settings),
        "acknowledged calls": load.acknowledged(),
        "repeated calls": load.repeated(),
        "events": len(events),
        "puts of items and users": sum(load.newest().values()),
        **faults,
    }


@contextmanager
def _killed_service(settings: ServiceSettings) -> Iterator[KilledService]:
    service = KilledService(settings)
    try:
        yield service
    finally:
        service.close()


def _resources(settings: ServiceSettings) -> Resources:
    with channel(settings.addresses["control_plane"], token=settings.token("client")) as opened:
        return make_resources(ControlPlaneServiceStub(opened))


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="how often the service is killed")
    parser.add_argument("--clients", type=int, default=2, help="how many put each of events, items and users")
    parser.add_argument("--pause-seconds", type=float, default=0.01, help="between two calls of a client")
    parser.add_argument("--seed", type=int, default=1, help="of the moments and of what is put")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    # That the service is away is no news here.
    configure_logging("kills", level="ERROR")
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(
            Path(folder),
            kills=arguments.kills,
            clients=arguments.clients,
            pause_seconds=arguments.pause_seconds,
            seed=arguments.seed,
        )
    publish(
        {"figures": figures}, table=markdown_table(("what", "count"), list(figures.items())), output=arguments.output
    )
    faults = {what: count for what, count in figures.items() if ": " in what and count}
    if faults:
        raise Unavailable(f"kills: got {faults}, want nothing lost, doubled or stale")


if __name__ == "__main__":
    main()
