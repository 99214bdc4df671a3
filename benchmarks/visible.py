"""From the acknowledgement of a put to when a runtime has it: the part of `benchmarks.events` for that.

A runtime of its own process follows the log and writes its store; this process reads that store as the runtime's
workers do, for one record of each call, again and again until it is there.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from benchmarks.processes import BothServices, free_base, running_process
from benchmarks.put_clients import PutLoad, press
from benchmarks.puts import first_id
from benchmarks.report import percentile
from common.errors import Unavailable
from common.rpc.probe import is_serving
from runtime_service.history.lmdb import LmdbHistoryReader

__all__ = ["VISIBLE", "measure_visible", "running_runtime"]

_PATIENCE_SECONDS: Final = 30.0
#: Between two looks; a time is not measured more exactly.
_LOOK_SECONDS: Final = 0.0005
#: Calls of one client process that are looked for at a time, from the oldest.
_LOOKED_FOR: Final = 64
_Look = Callable[[LmdbHistoryReader, str, str], bool]
#: How a record is looked for, given the dataset group and the id, by the call that put it.
VISIBLE: Final[Mapping[str, _Look]] = MappingProxyType(
    {
        "PutEvents": lambda reader, group, user_id: reader.find(group, user_id) is not None,
        "PutItems": lambda reader, group, item_id: reader.find_put(group, "ITEMS", item_id) is not None,
        "PutUsers": lambda reader, group, user_id: reader.find_put(group, "USERS", user_id) is not None,
    }
)


@contextmanager
def running_runtime(services: BothServices, folder: Path) -> Iterator[Path]:
    """Run a runtime with one worker, and yield the folder of its store.

    Args:
        services: The services that it follows.
        folder: Where they write.
    """
    address, token = f"127.0.0.1:{free_base(1)}", folder / "runtime-token"
    token.write_text(services.token("runtime"))
    given = {
        "LISTEN": address,
        "PUBLIC_KEY_FILE": str(folder / "public.pem"),
        "TOKEN_FILE": str(token),
        "STORE_URL": str(folder / "store"),
        "CONTROL_PLANE": services.addresses["control_plane"],
        "EVENTS_SERVICE": services.addresses["events_service"],
        "HISTORY_DIR": str(folder / "runtime"),
        "CACHE_DIR": str(folder / "artifacts"),
        "WORKERS": "1",
    }
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TAILORBIRD_")}
    with running_process(
        [sys.executable, "-m", "runtime_service"],
        log=folder / "runtime_service.log",
        is_ready=lambda: is_serving(address),
        environ={**environ, **{f"TAILORBIRD_{name}": value for name, value in given.items()}},
    ):
        yield folder / "runtime"


def measure_visible(
    history: Path, group: str, loads: Sequence[PutLoad], *, patience_seconds: float = _PATIENCE_SECONDS
) -> dict[str, float]:
    """Make the calls of loads in open loop, and return when their records were visible after the acknowledgement.

    Args:
        history: Folder of the runtime's store.
        group: ARN of the dataset group that the records go to.
        loads: One for each process of clients, all of one kind.
        patience_seconds: How long records that were acknowledged are looked for.

    Raises:
        Unavailable: A record that was acknowledged did not become visible.
    """
    observer = _Observer(history, group, loads)
    observer.start()
    try:
        acknowledged = press(loads)
    finally:
        observer.end(seconds=patience_seconds)
    delays = []
    for seen, calls in zip(observer.seen, acknowledged, strict=True):
        missing = [call.number for call in calls if call.number not in seen]
        if missing:
            raise Unavailable(f"{loads[0].kind}: got {len(missing)} calls not visible, want all of {len(calls)}")
        # The answer may still be on its way to the client when a runtime has the record.
        delays += [1000 * max(seen[call.number] - call.ended, 0.0) for call in calls]
    late = [1000 * (call.ended - call.begun) for calls in acknowledged for call in calls]
    delays.sort()
    late.sort()
    return {
        "calls": len(delays),
        "per_second": round(sum(load.per_second for load in loads), 1),
        "acknowledged_p50_ms": round(percentile(late, 0.5), 2),
        "acknowledged_p99_ms": round(percentile(late, 0.99), 2),
        "visible_p50_ms": round(percentile(delays, 0.5), 2),
        "visible_p99_ms": round(percentile(delays, 0.99), 2),
    }


class _Observer:
    """Notes when a runtime has the first record of each call."""

    def __init__(self, history: Path, group: str, loads: Sequence[PutLoad]) -> None:
        self._history = history
        self._group = group
        self._loads = loads
        self._ends = threading.Event()
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._run)
        #: Of each load: the moment by the number of the call.
        self.seen: list[dict[int, float]] = [{} for _ in loads]

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def end(self, *, seconds: float) -> None:
        """Return when everything was seen, at the latest in so many seconds."""
        self._deadline = time.monotonic() + seconds
        self._thread.join()

    def _run(self) -> None:
        pending = [list(range(load.calls)) for load in self._loads]
        with closing(LmdbHistoryReader(self._history, name="benchmark")) as reader:
            while any(pending) and time.monotonic() < self._deadline:
                for load, numbers, seen in zip(self._loads, pending, self.seen, strict=True):
                    for number in numbers[:_LOOKED_FOR]:
                        if VISIBLE[load.kind](reader, self._group, first_id(load.kind, load.seed, number)):
                            seen[number] = time.monotonic()
                            numbers.remove(number)
                self._ends.wait(_LOOK_SECONDS)
