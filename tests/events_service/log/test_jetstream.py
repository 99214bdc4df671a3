"""The event log in JetStream: the suite, and what is JetStream's own."""

from __future__ import annotations

import asyncio
import shutil
import signal
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count

import nats
import pytest

from common.errors import InvalidInput, LimitExceeded, Unavailable
from common.positions import Position
from common.testing import wait_until
from events_service.log import Bounds, Divergence, TableLag, UserRemoval
from events_service.log._limits import payload_bytes
from events_service.log._stream import LogStream
from events_service.log.jetstream import REPLICA, JetStreamEventLog
from events_service.log.stream_target import StreamTarget
from events_service.records import content_of
from tests.events_service.log.suite import EventLogSuite, offsets
from tests.events_service.nats import running_nats
from tests.events_service.samples import GROUP, SINK, avro, entries, entry, event, table

NUMBERS = count()


@pytest.fixture(scope="module")
def server():
    with running_nats() as running:
        yield running


@pytest.fixture
def target(server):
    return StreamTarget(server.url, stream=f"log{next(NUMBERS)}")


@pytest.fixture
def open_log(target, tmp_path, clock):
    """Open the stream as one more process would, with a replica of its own."""
    logs = []

    def opened(name="log"):
        log = JetStreamEventLog(target, tmp_path / name, clock=clock, monotonic=lambda: clock.now().timestamp())
        logs.append(log)
        return log

    yield opened
    for log in logs:
        log.close()


@pytest.fixture
def log(open_log):
    return open_log()


class TestJetStreamEventLog(EventLogSuite):
    """The suite on JetStream."""


def test_removed_table_is_in_no_file_any_more(server, log):
    log.append([entry(event(0, user_id="stays"), to=table("datasets/books"))], seconds=20)
    log.append([entry(event(n, user_id=f"marked-{n}")) for n in range(300)], seconds=20)
    log.append([entry(event(1, user_id="stays too"), to=table("datasets/books"))], seconds=20)

    log.remove_table(table().location)

    files = b"".join(path.read_bytes() for path in server.folder.rglob("*") if path.is_file())
    assert b"stays" in files
    assert b"marked-" not in files


def stored(server) -> bytes:
    """Return everything that is in the server's files."""
    return b"".join(path.read_bytes() for path in server.folder.rglob("*") if path.is_file())


def test_removed_records_are_in_no_file_any_more_and_those_beside_them_are(server, log, tmp_path):
    log.append([entry(event(n, user_id=f"{'leaver' if n % 3 else 'stays'}-{n}")) for n in range(300)], seconds=20)
    for n in range(300, 310):
        log.append([entry(event(n, user_id=f"leaver-{n}"))], seconds=20)
    meant = [record.offset for record in log.read(1, max_records=400).records if b"leaver" in record.payload]

    assert log.remove_records(table().location, meant) == 210

    replica = b"".join(path.read_bytes() for path in (tmp_path / "log").glob(f"{REPLICA}*"))
    for files in (stored(server), replica):
        assert b"stays-" in files
        assert b"leaver-" not in files
    assert len(offsets(log)) == 100
    assert log.bounds().end == 311


def test_removal_that_is_cut_off_before_the_old_message_is_erased_is_finished_by_the_next(
    server, open_log, monkeypatch
):
    log = open_log("a")
    log.append([entry(event(n, user_id=f"{'halfway' if n % 2 else 'stays'}-{n}")) for n in range(10)], seconds=20)
    with monkeypatch.context() as patch:
        patch.setattr(LogStream, "erase", _cut_off)
        with pytest.raises(Unavailable):
            log.remove_records(table().location, [2, 4])
    log.append(entries(11), seconds=20)
    log.close()
    assert b"halfway-1" in stored(server)
    halfway = state(open_log("of the stream as it was left"))
    assert [record.offset for record in halfway[0].records] == [1, 3, 5, 6, 7, 8, 9, 10, 11]

    again = open_log("a")
    assert again.remove_records(table().location, []) == 0

    assert again.remove_records(table().location, [2, 4, 6]) == 1
    files = stored(server)
    assert [number for number in (1, 3, 5, 7) if f"halfway-{number}".encode() in files] == [7]
    finished = state(again)
    assert [record.offset for record in finished[0].records] == [1, 3, 5, 7, 8, 9, 10, 11]
    assert state(open_log("of the stream as it is")) == finished


def test_removal_that_is_cut_off_is_finished_before_offsets_are_left_out(server, log, monkeypatch):
    log.append([entry(event(n, user_id=f"leftover-{n}")) for n in range(2)], seconds=20)
    with monkeypatch.context() as patch:
        patch.setattr(LogStream, "erase", _cut_off)
        with pytest.raises(Unavailable):
            log.remove_records(table().location, [1])
    assert b"leftover-0" in stored(server)

    log.begin_after(100)
    assert log.remove_records(table().location, [1]) == 0

    files = stored(server)
    assert (b"leftover-0" in files, b"leftover-1" in files) == (False, True)


def test_replica_that_is_behind_never_shows_what_came_later_without_what_was_left(open_log):
    """It has not seen the first message, which is erased, when the one that took its place is far behind others."""
    behind, log = open_log("behind"), open_log("ahead")
    shown = []
    behind._replicator._on_change = lambda: shown.append(offsets(behind))
    with _held(behind):
        log.append(entries(1, 2), seconds=20)
        for number in range(3, 203):
            log.append(entries(number), seconds=20)
        log.remove_records(table().location, [1])

    # Told a moment after it is there.
    wait_until(lambda: state(behind) == state(log) and any(shown))

    assert {page[0] for page in shown if page} == {2}


def test_deletion_of_users_outlives_the_replica_and_its_announcement_is_kept(open_log):
    log = open_log("a")
    log.append(entries(1, 2), seconds=20)
    log.append_user_removal(GROUP, location="datasets/a/g/deletions/1", up_to_offset=2)
    log.remove_records(table().location, [1, 2])

    another = open_log("b")

    assert state(another) == state(log)
    assert another.read(3, max_records=9).user_removals == [UserRemoval(3, GROUP, "datasets/a/g/deletions/1", 2)]
    assert another.append(entries(1), seconds=20) == (4,)


async def _cut_off(*_: object) -> None:
    raise Unavailable("killed here")


@contextmanager
def _held(log):
    """Let a process learn nothing of what others write while the block runs."""
    turn = log._replicator._turn
    asyncio.run_coroutine_threadsafe(turn.acquire(), log._loop).result(20)
    try:
        yield
    finally:
        log._loop.call_soon_threadsafe(turn.release)


def state(log):
    page = log.read(log.bounds().first, max_records=100_000)
    return page, log.bounds(), log.lags(SINK), log.tables()


def test_several_processes_append_without_gap_or_repetition(open_log):
    logs = [open_log("a"), open_log("b"), open_log("c")]
    given = []

    def send(log, thread) -> None:
        for number in range(20):
            # The last two are sent by every thread.
            sent = [1000 * thread + number, 10_000 + number]
            given.extend(zip(sent, log.append(entries(*sent), seconds=60), strict=True))

    threads = [threading.Thread(target=send, args=[logs[n % 3], n]) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(dict(given)) == len(set(given)) == 6 * 20 + 20
    for log in logs:
        wait_until(lambda log=log: log.bounds().end == 141)
        assert offsets(log) == list(range(1, 141))
        assert {f"e{number}": offset for number, offset in given} == {
            content_of(record).event_id: record.offset for record in log.read(1, max_records=1000).records
        }


def test_other_processes_are_notified_and_see_every_change(open_log, clock):
    writer, reader = open_log("a"), open_log("b")
    before = reader.appended.changes

    writer.append(entries(1, 2), seconds=20)
    asyncio.run(reader.appended.wait(before, seconds=3600))
    reader.mark_consumed(SINK, table().location, 1)
    writer.append(entries(3, to=table("datasets/books")), seconds=20)
    reader.remove_table("datasets/books")
    clock.advance(seconds=100)

    assert reader.remove_old(timedelta(seconds=50), kept_for=[SINK]) == 1
    writer.mark_diverged(table().location, Divergence(0, 7))
    wait_until(lambda: state(writer) == state(reader))
    page, bounds, lags, _ = state(writer)
    assert ([item.offset for item in page.records], [item.offset for item in page.removals]) == ([2], [4])
    assert (bounds, lags) == (Bounds(2, 5), [TableLag(table(), 1, 2, Divergence(0, 7))])


def test_replica_that_is_lost_is_read_from_the_stream(open_log, clock, tmp_path):
    log = open_log("a")
    for number in range(5):
        log.append(entries(2 * number, 2 * number + 1), seconds=20)
    log.append(entries(1, to=table("datasets/books")), seconds=20)
    log.append(entries(1, to=table("datasets/songs")), seconds=20)
    log.mark_consumed(SINK, table().location, 3)
    log.mark_diverged(table().location, Divergence(1, 4))
    log.remove_table("datasets/books")
    log.append(entries(2, to=table("datasets/books")), seconds=20)
    clock.advance(seconds=100)
    assert log.remove_old(timedelta(seconds=0), kept_for=[SINK]) == 3
    before = state(log)
    log.close()
    (tmp_path / "a" / REPLICA).write_bytes(b"damaged" * 1000)

    again, elsewhere = open_log("a"), open_log("b")

    assert state(again) == state(elsewhere) == before
    assert again.append(entries(9, 100), seconds=20) == (10, 15)


def test_offsets_that_were_left_out_are_left_out_by_every_process(open_log):
    log = open_log("a")
    log.append(entries(1), seconds=20)
    log.begin_after(20)

    elsewhere = open_log("b")

    assert elsewhere.bounds() == Bounds(1, 21)
    assert elsewhere.append(entries(2), seconds=20) == (21,)


def test_server_that_is_killed_under_load_loses_and_doubles_nothing(server, open_log):
    logs = [open_log("a"), open_log("b")]
    acknowledged, stopping = [], threading.Event()

    def send(log, thread) -> None:
        number = 0
        while not stopping.is_set():
            number += 1
            sent = [entry(event(n, event_id=f"{thread}-{number}-{n}")) for n in range(3)]
            while True:
                try:
                    log.append(sent, seconds=20)
                except Unavailable:
                    continue
                break
            acknowledged.extend(item.record_id for item in sent)

    threads = [threading.Thread(target=send, args=[logs[n % 2], n]) for n in range(4)]
    for thread in threads:
        thread.start()
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        before = len(acknowledged)
        wait_until(lambda before=before: len(acknowledged) > before + 100)
        server.stop(number)
        server.start()
    before = len(acknowledged)
    wait_until(lambda: len(acknowledged) > before + 100)
    stopping.set()
    for thread in threads:
        thread.join()

    records = open_log("c").read(1, max_records=1_000_000).records
    ids = [content_of(record).event_id for record in records]
    assert sorted(ids) == sorted(acknowledged)
    assert [record.offset for record in records] == list(range(1, len(records) + 1))


def test_stream_that_is_made_anew_is_another_log(target, open_log):
    log = open_log()
    log.append(entries(1, 2, 3), seconds=20)
    position = log.lineage().at(3)

    asyncio.run(delete_stream(target))
    wait_until(lambda: log.bounds() == Bounds(1, 1))

    assert log.append(entries(4), seconds=20) == (1,)
    assert log.lineage().shared(position) == 0


async def delete_stream(target):
    client = await nats.connect(target.url)
    await client.jetstream().delete_stream(target.stream)
    await client.close()


def test_server_that_is_restored_from_a_backup_parts_from_what_it_was(server, target, open_log, tmp_path):
    first, second = open_log("a"), open_log("b")
    first.append(entries(1, 2), seconds=20)
    wait_until(lambda: second.bounds().end == 3)
    server.stop()
    shutil.copytree(server.folder / "store", tmp_path / "backup")
    server.start()
    first.append(entries(3, 4), seconds=60)
    wait_until(lambda: second.bounds().end == 5)
    ahead = first.lineage().at(4)
    server.stop()
    shutil.rmtree(server.folder / "store")
    shutil.copytree(tmp_path / "backup", server.folder / "store")
    server.start()

    given = first.append(entries(5, 6, 7), seconds=60)

    assert given == (3, 4, 5)
    wait_until(lambda: state(second) == state(first))
    for log in (first, second):
        assert not log.lineage().has(ahead)
        assert log.lineage().shared(ahead) <= 2
        assert log.lineage().has(Position(next(iter(log.lineage())).epoch, 2))


def test_each_process_that_writes_begins_an_epoch(open_log):
    first, second = open_log("a"), open_log("b")
    first.append(entries(1), seconds=20)
    second.append(entries(2), seconds=20)
    first.append(entries(3), seconds=20)

    wait_until(lambda: second.bounds().end == 4)
    assert [item.first_offset for item in first.lineage()] == [1, 2]
    assert second.lineage() == first.lineage()


def test_call_that_no_message_can_hold_and_records_of_two_tables_are_refused(log):
    with pytest.raises(InvalidInput, match="max_payload"):
        log.append([entry(event(1, properties_json="x" * 1_048_576))], seconds=20)
    with pytest.raises(InvalidInput, match="several tables"):
        log.append([*entries(1), *entries(2, to=table("datasets/books"))], seconds=20)

    assert log.bounds() == Bounds(1, 1)


def test_calls_that_wait_together_fill_several_messages(log):
    blocks = [[entry(event(n, properties_json="x" * 300_000))] for n in range(8)]
    threads = [threading.Thread(target=log.append, args=[block], kwargs={"seconds": 60}) for block in blocks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert offsets(log) == list(range(1, 9))


def test_event_that_is_sent_before_and_after_its_schema_got_wider_is_kept_once(log):
    wider = replace(table(), schema=avro(*[(name, "string") for name in "abcdefghijk"]))
    wait_until(log.consumes)  # until then the log has changes of its own to write
    with _held(log):
        futures = [log.submit(entries(1))]
        wait_until(lambda: not log._replicator._queue)  # the others are written together
        futures += [log.submit(entries(2)), log.submit(entries(2, to=wider)), log.submit(entries(3))]

    assert [future.result(20) for future in futures] == [(1,), (2,), (2,), (3,)]
    assert log.append(entries(4), seconds=20) == (4,)
    assert [lag.table for lag in log.lags(SINK)] == [wider]


def test_large_appends_are_refused_when_too_many_wait(log, monkeypatch):
    sent = entries(1)
    monkeypatch.setattr("events_service.log._limits.MAX_WAITING_BYTES", 2 * payload_bytes(sent))
    wait_until(log.consumes)  # until then the log has changes of its own to write
    with _held(log):
        futures = [log.submit(sent)]
        wait_until(lambda: not log._replicator._queue)
        futures += [log.submit(sent), log.submit(sent)]
        with pytest.raises(LimitExceeded, match="bytes that wait for the stream"):
            log.submit(sent)
        bookkeeping = log._replicator.catch_up()

    assert [future.result(20) for future in futures] == [(1,), (1,), (1,)]
    bookkeeping.result(20)
    assert log.append(entries(2), seconds=20) == (2,)


def test_server_that_is_not_there_is_an_error(tmp_path, clock):
    target = StreamTarget("nats://127.0.0.1:1", connect_seconds=0.3)

    with pytest.raises(Unavailable, match="cannot be reached"):
        JetStreamEventLog(target, tmp_path / "x", clock=clock)


def test_append_while_the_server_is_away_fails_in_time_and_may_be_repeated(server, log):
    log.append(entries(1), seconds=20)
    server.stop()
    try:
        with pytest.raises(Unavailable, match="repeat the call"):
            log.append(entries(2), seconds=0.2)
    finally:
        server.start()

    assert log.append(entries(2), seconds=60) == (2,)
    assert offsets(log) == [1, 2]
