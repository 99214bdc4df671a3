"""Who follows the log while `kills` kills its service: a reader of all records, and a runtime's tail."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from benchmarks.faults.kill_load import EVENTS_OF_A_USER
from common.errors import Unavailable
from common.rpc import aio_channel, channel
from common.storage import Store
from common.testing import loop_in_thread
from protos.tailorbird.internal.v1 import event_log_pb2, records_pb2
from protos.tailorbird.internal.v1.event_log_pb2_grpc import EventLogServiceStub
from runtime_service.history.freshness import Freshness
from runtime_service.history.held import HeldPositions
from runtime_service.history.lmdb import LmdbHistoryReader, LmdbHistoryWriter, prepare_history
from runtime_service.server import follow_log

__all__ = ["LogReader", "histories", "newest_puts", "running_tail"]

_WAIT_SECONDS = 1.0
_PAUSE_SECONDS = 0.02
_MAP_BYTES = 64 * 1024 * 1024


class LogReader:
    """Reads the log from its beginning on, page by page, whatever happens to its service.

    Args:
        address: Of the events service.
        token: Of a runtime.

    Attributes:
        events: How often each event came, by id.
        newest: The number that was put last, by type of dataset and id.
        next_offset: Where the next page begins.
    """

    def __init__(self, address: str, token: str) -> None:
        self.events: Counter[str] = Counter()
        self.newest: dict[tuple[str, str], int] = {}
        self.next_offset = 1
        self._address = address
        self._token = token
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Read in the background.

        Raises:
            Unavailable: A page did not follow on the one before.
        """
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with channel(self._address, token=self._token) as opened:
                stub = EventLogServiceStub(opened)
                while not self._over.is_set():
                    request = event_log_pb2.ReadRecordsRequest(from_offset=self.next_offset, wait_seconds=_WAIT_SECONDS)
                    try:
                        page = stub.ReadRecords(request, timeout=2 * _WAIT_SECONDS)
                    except grpc.RpcError:
                        self._over.wait(_PAUSE_SECONDS)
                    else:
                        self._take(page)
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self._failure = error

    def _take(self, page: event_log_pb2.ReadRecordsResponse) -> None:
        offsets = [record.offset for record in page.records]
        if offsets != sorted(set(offsets)) or not all(self.next_offset <= one < page.next_offset for one in offsets):
            raise Unavailable(
                f"log: got a page of {offsets} before {page.next_offset}, want from {self.next_offset} on"
            )
        for record in page.records:
            self._take_record(record)
        self.next_offset = page.next_offset

    def _take_record(self, record: records_pb2.LoggedRecord) -> None:
        if record.HasField("event"):
            self.events[record.event.event_id] += 1
        elif record.HasField("item"):
            self.newest["ITEMS", record.item.entity_id] = _number(record.item.properties_json)
        elif record.HasField("user"):
            self.newest["USERS", record.user.entity_id] = _number(record.user.properties_json)


def _number(properties_json: str | None) -> int:
    (number,) = json.loads(properties_json or "{}").values()
    return int(number)


@contextmanager
def running_tail(address: str, token: str, store: Store, folder: Path) -> Iterator[LmdbHistoryWriter]:
    """Run the part of a runtime that follows the log; its histories are closed at the end.

    Args:
        address: Of the events service.
        token: Of a runtime.
        store: Has the ledger of deletions.
        folder: Of the histories.
    """
    prepare_history(folder, map_bytes=_MAP_BYTES)
    writer = LmdbHistoryWriter(folder, max_events=EVENTS_OF_A_USER + 1)
    held = HeldPositions(folder, names=())
    freshness = Freshness(folder / "current", limit_seconds=_WAIT_SECONDS)
    tailing = follow_log(
        lambda: aio_channel(address, token=token),
        writer,
        store,
        held=held,
        freshness=freshness,
        wait_seconds=_WAIT_SECONDS,
    )
    with loop_in_thread() as loop, loop.running(tailing):
        yield writer


def newest_puts(folder: Path, group_arn: str, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Return the number that the store of a runtime, which is closed, has of items and users.

    Args:
        folder: Of the store.
        group_arn: The dataset group.
        keys: Type of the dataset and id.
    """
    reader = LmdbHistoryReader(folder)
    try:
        puts = {key: reader.find_put(group_arn, *key) for key in keys}
        return {key: _number(put.properties_json) for key, put in puts.items() if put is not None}
    finally:
        reader.close()


def histories(folder: Path, group_arn: str, users: set[str]) -> Counter[str]:
    """Return how often each item is in the histories of users, which are closed."""
    reader = LmdbHistoryReader(folder)
    try:
        stored = [reader.find(group_arn, user) for user in users]
        return Counter(event.item_id for history in stored if history is not None for event in history.events())
    finally:
        reader.close()
