"""A runtime that follows a real events service whose log is restored from a backup: it has what that log has, once."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest

from common.clock import ManualClock
from common.rpc import aio_channel
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.testing import loop_in_thread, serving, wait_until
from events_service.dataset_sink import DatasetSink
from events_service.domain.rate_limit import CommitRateLimit
from events_service.log.sqlite import SqliteEventLog
from events_service.server import Timing, assemble
from runtime_service.history.freshness import Freshness
from runtime_service.history.held import HeldPositions
from runtime_service.history.lmdb import LmdbHistoryReader, LmdbHistoryWriter
from runtime_service.server import follow_log
from tests.control_plane.world import ACCOUNT
from tests.events_service.samples import GROUP, entries, known_trackers, table


@pytest.fixture
def store(tmp_path):
    return open_store(StoreSettings(store_url=str(tmp_path / "store")))


@pytest.fixture
def follow(history_folder, store):
    """Follow a log until the histories have all of it, and return the items of the user."""

    @contextmanager
    def tailing(log):
        made = assemble(log, store, known_trackers(), timing=Timing())
        with serving(made.services, account=ACCOUNT) as server, loop_in_thread() as loop:
            token = server.keys.token("runtime")
            writer = LmdbHistoryWriter(history_folder, max_events=100)
            held = HeldPositions(history_folder, names=["worker-0"])

            def connect():
                return aio_channel(server.target, token=token)

            freshness = Freshness(history_folder / "current", limit_seconds=5.0)
            work = follow_log(connect, writer, store, held=held, freshness=freshness, wait_seconds=1.0)
            with loop.running(work):
                yield writer
            made.polls.close()

    def run(log, meanwhile=lambda: None) -> list[str]:
        with tailing(log) as writer:
            wait_until(lambda: writer.next_offset() == log.bounds().end and writer.lineage() == log.lineage())
            meanwhile()
            wait_until(lambda: writer.next_offset() == log.bounds().end)
        reader = LmdbHistoryReader(history_folder)
        try:
            return [event.item_id for event in reader.find(GROUP, "u").events()]
        finally:
            reader.close()

    return run


def test_history_is_that_of_the_restored_log_and_passes_over_offsets_that_were_left_out(tmp_path, store, follow):
    clock = ManualClock()

    def sink(log):
        rate = CommitRateLimit(burst=100, steady_seconds=1, large_events=1)
        return DatasetSink(log, store, known_trackers(), commit_rate=rate, compact_commits=100)

    first = SqliteEventLog(tmp_path / "first", clock=clock)
    first.append(entries(1, 2), seconds=20)
    first.close()
    shutil.copytree(tmp_path / "first", tmp_path / "backup")
    first = SqliteEventLog(tmp_path / "first", clock=clock)
    first.append(entries(3, 4, 5, 6), seconds=20)
    sink(first).flush(table().location, seconds=20)
    assert follow(first) == [f"i{n}" for n in range(1, 7)]
    first.close()
    restored = SqliteEventLog(tmp_path / "backup", clock=clock)
    restored.append(entries(7), seconds=20)

    def flush_and_append():
        sink(restored).flush(table().location, seconds=20)
        restored.append(entries(8), seconds=20)

    assert follow(restored, flush_and_append) == ["i1", "i2", "i7", "i8"]
    assert [record.offset for record in restored.read(1, max_records=100).records] == [1, 2, 3, 8]
    restored.close()
