"""Moving a log from SQLite to JetStream and back: all of it, cut off at any point, and by nobody but one."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import threading
from contextlib import closing
from datetime import timedelta
from itertools import count

import nats
import pytest

from common.errors import CorruptArtifact, InvalidInput, ResourceInUse, Unavailable
from common.testing import wait_until
from events_service.log import Divergence, LogTable, RecordKind
from events_service.log._contents import read_contents
from events_service.log._schema import open_database
from events_service.log.jetstream import REPLICA, JetStreamEventLog
from events_service.log.moving import MOVED_DATABASE, move_to_sqlite, move_to_stream
from events_service.log.sqlite import DATABASE, SqliteEventLog
from events_service.log.stream_target import StreamTarget
from events_service.records import content_of
from tests.events_service.log.suite import offsets
from tests.events_service.nats import running_nats
from tests.events_service.samples import GROUP, SINK, entries, entry, event, table

NUMBERS = count()
BOOKS, SONGS = table("datasets/books"), table("datasets/songs")


@pytest.fixture(scope="module")
def server():
    with running_nats() as running:
        yield running


@pytest.fixture
def target(server):
    return StreamTarget(server.url, stream=f"moved{next(NUMBERS)}")


@pytest.fixture
def folder(tmp_path, clock):
    """A log in SQLite with everything that a log can have, of three epochs."""
    folder = tmp_path / "events"
    with closing(in_sqlite(folder, clock)) as log:
        log.append(entries(*range(40)), seconds=20)
        log.append(entries(1, 2, to=BOOKS), seconds=20)
        log.append(entries(3, to=SONGS), seconds=20)
        log.remove_table(SONGS.location)
        log.mark_consumed(SINK, table().location, 12)
    clock.advance(seconds=100)
    with closing(in_sqlite(folder, clock)) as log:
        log.remove_old(timedelta(seconds=50), kept_for=[SINK])
        log.append([entry(event(n, properties_json="x" * 9000)) for n in range(100, 120)], seconds=20)
        log.append_user_removal(GROUP, location="datasets/a/g/deletions/1", up_to_offset=30)
        log.remove_records(table().location, [20, 21])
        log.mark_diverged(BOOKS.location, Divergence(3, 9))
        log.mark_consumed("metric_attribution", BOOKS.location, 42)
    clock.advance(seconds=1)
    with closing(in_sqlite(folder, clock)) as log:
        log.append(entries(5, 6, to=LogTable("datasets/users", GROUP, table().schema, "USERS")), seconds=20)
    return folder


def in_sqlite(folder, clock):
    return SqliteEventLog(folder, clock=clock, monotonic=lambda: clock.now().timestamp())


def in_stream(folder, target, clock):
    return JetStreamEventLog(target, folder, clock=clock, monotonic=lambda: clock.now().timestamp())


def quietly(step, done, total):
    """Progress that nobody looks at."""


def contents(database):
    with closing(open_database(database)) as connection:
        return read_contents(connection, progress=lambda _: None)


def state(log):
    page = log.read(log.bounds().first, max_records=100_000)
    lags = [sorted(log.lags(name), key=lambda lag: lag.table.location) for name in (SINK, "metric_attribution")]
    return page, log.bounds(), lags, sorted(log.tables())


def test_log_goes_on_in_the_stream_and_in_sqlite_again_as_if_nothing_had_happened(folder, target, clock):
    with closing(in_sqlite(folder, clock)) as log:
        before, position = state(log), log.lineage().at(log.bounds().end - 1)
    end = position.offset + 1
    digest = contents(folder / DATABASE)

    moved = move_to_stream(folder, target, progress=quietly)

    assert moved == digest == contents(folder / MOVED_DATABASE) == contents(folder / REPLICA)
    assert not (folder / DATABASE).exists()
    with closing(in_stream(folder, target, clock)) as log:
        assert state(log) == before
        # An event that was sent before is known, one that is new comes next, in an epoch of its own.
        assert log.append(entries(30, 200), seconds=20) == (31, end)
        assert log.lineage().has(position)
        assert log.lag(SINK, table().location).committed_offset == 12
        log.mark_consumed(SINK, table().location, end)
        # In the stream other messages take the places of those with removed records.
        assert log.remove_records(table().location, [15, 16, 33]) == 3
        deletion = log.append_user_removal(GROUP, location="datasets/a/g/deletions/2", up_to_offset=end)
        in_between, position = state(log), log.lineage().at(deletion)
    (folder / MOVED_DATABASE).unlink()

    back = move_to_sqlite(folder, target, progress=quietly)

    assert back == contents(folder / DATABASE)
    assert back.records == digest.records + 1 - 3
    assert sorted(item.name for item in folder.iterdir()) == [DATABASE, "lock"]
    with closing(in_sqlite(folder, clock)) as log:
        assert state(log) == in_between
        assert log.append(entries(200, 31, 201), seconds=20) == (end, 32, deletion + 1)
        assert log.lineage().has(position)


def test_replica_of_another_service_has_the_same(folder, target, clock, tmp_path):
    before = move_to_stream(folder, target, progress=quietly)

    in_stream(tmp_path / "another", target, clock).close()

    assert contents(tmp_path / "another" / REPLICA) == before


def mover(*arguments):
    command = [sys.executable, "-m", "tests.events_service.mover", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("every", [3, 0], ids=["each repeated once", "one after the other"])
def test_move_that_is_killed_anywhere_ends_in_the_same_state_when_it_is_repeated(folder, target, tmp_path, every):
    before = contents(folder / DATABASE)

    kills = mover("jetstream", folder, tmp_path / "there", target.url, target.stream, every)

    moved = sorted((tmp_path / "there").iterdir())
    assert len(moved) == (kills + 1 if every else 1)
    assert kills > 5
    for at in moved:
        assert sorted(item.name for item in at.iterdir() if item.suffix == ".db") == [MOVED_DATABASE, REPLICA]
        assert contents(at / MOVED_DATABASE) == contents(at / REPLICA) == before
    if every:
        return
    (moved[0] / MOVED_DATABASE).unlink()
    kills = mover("sqlite", moved[0], tmp_path / "back", target.url, target.stream, 0)
    assert kills > 5
    assert contents(tmp_path / "back" / "one" / DATABASE) == before
    assert not (tmp_path / "back" / "one" / REPLICA).exists()


def test_repeated_move_has_nothing_to_do(folder, target):
    move_to_stream(folder, target, progress=quietly)
    assert move_to_stream(folder, target, progress=quietly) is None
    (folder / MOVED_DATABASE).unlink()
    assert move_to_stream(folder, target, progress=quietly) is None

    move_to_sqlite(folder, target, progress=quietly)
    assert move_to_sqlite(folder, target, progress=quietly) is None


def test_log_that_a_service_holds_is_not_moved(folder, target, clock):
    with closing(in_sqlite(folder, clock)), pytest.raises(ResourceInUse, match="`data_dir`"):
        move_to_stream(folder, target, progress=quietly)

    move_to_stream(folder, target, progress=quietly)
    with closing(in_stream(folder, target, clock)), pytest.raises(ResourceInUse, match="`data_dir`"):
        move_to_sqlite(folder, target, progress=quietly)


def test_folder_without_a_log_and_stream_without_one_are_told(folder, target, clock, tmp_path):
    with pytest.raises(InvalidInput, match="no log in SQLite"):
        move_to_stream(tmp_path / "empty", target, progress=quietly)
    with pytest.raises(InvalidInput, match="not there"):
        move_to_sqlite(tmp_path / "empty", target, progress=quietly)
    in_stream(tmp_path / "elsewhere", target, clock).close()
    with pytest.raises(InvalidInput, match="which is empty"):
        move_to_sqlite(tmp_path / "empty", target, progress=quietly)


def test_stream_with_another_log_is_left_alone(folder, target, clock, tmp_path):
    with closing(in_stream(tmp_path / "another", target, clock)) as log:
        log.append(entries(1), seconds=20)

        with pytest.raises(InvalidInput, match="holds another log"):
            move_to_stream(folder, target, progress=quietly)

        assert log.append(entries(2), seconds=20) == (2,)
    assert (folder / DATABASE).exists()


class Interrupt(Exception):
    """Cuts a move off."""


def interrupted(step_of_end):
    def progress(step, done, total):
        if step == step_of_end and done >= total / 2:
            raise Interrupt

    return progress


def test_stream_with_half_a_log_is_used_by_nobody(folder, target, clock, tmp_path):
    with pytest.raises(Interrupt):
        move_to_stream(folder, target, progress=interrupted("writing to the stream"))

    with pytest.raises(Unavailable, match="is being moved into the stream"):
        in_stream(tmp_path / "another", target, clock)
    with pytest.raises(Unavailable, match="is being moved into the stream"):
        move_to_sqlite(tmp_path / "back", target, progress=quietly)

    assert move_to_stream(folder, target, progress=quietly) == contents(folder / REPLICA)
    with closing(in_stream(tmp_path / "another", target, clock)) as log:
        assert offsets(log, start=log.bounds().first)


def test_log_that_went_on_in_sqlite_after_half_a_move_is_moved_from_the_beginning(folder, target, clock):
    for step in ("writing to the stream", "comparing"):
        with pytest.raises(Interrupt):
            move_to_stream(folder, target, progress=interrupted(step))
        with closing(in_sqlite(folder, clock)) as log:
            log.append([entry(event(1, event_id=f"after {step}"))], seconds=20)
    before = contents(folder / DATABASE)

    assert move_to_stream(folder, target, progress=quietly) == before == contents(folder / REPLICA)


def test_whole_move_that_was_not_used_is_made_anew_and_one_that_was_is_not(folder, target, clock, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    move_to_stream(folder, target, progress=quietly)
    # As if the move had been cut off just before the file got its other name, and the log used on.
    with closing(in_sqlite(tmp_path / "copy", clock)) as log:
        log.append(entries(300), seconds=20)
    shutil.copytree(tmp_path / "copy", tmp_path / "second copy")

    assert move_to_stream(tmp_path / "copy", target, progress=quietly) == contents(tmp_path / "copy" / REPLICA)
    with closing(in_stream(tmp_path / "copy", target, clock)) as log:
        log.append(entries(301), seconds=20)
    with closing(in_sqlite(tmp_path / "second copy", clock)) as log:
        log.append(entries(302), seconds=20)

    with pytest.raises(InvalidInput, match="holds another log"):
        move_to_stream(tmp_path / "second copy", target, progress=quietly)


def test_log_that_was_moved_out_of_a_stream_is_not_moved_into_it_again(folder, target):
    move_to_stream(folder, target, progress=quietly)
    (folder / MOVED_DATABASE).unlink()
    move_to_sqlite(folder, target, progress=quietly)

    with pytest.raises(InvalidInput, match="moved out of it"):
        move_to_stream(folder, target, progress=quietly)

    move_to_stream(folder, StreamTarget(target.url, f"{target.stream}-again"), progress=quietly)


def publish(target, subject, payload):
    async def send():
        client = await nats.connect(target.url)
        await client.jetstream().publish(f"{target.stream}.{subject}", payload)
        await client.close()

    threading.Thread(target=lambda: asyncio.run(send())).run()


def test_stream_that_somebody_else_writes_to_is_found_out(folder, target):
    messages = []

    def progress(step, done, total):
        if step == "writing to the stream" and done == 5 and not messages:
            messages.append(done)
            thread = threading.Thread(target=publish, args=[target, "state", b""])
            thread.start()
            thread.join()

    with pytest.raises(ResourceInUse, match="somebody else writes"):
        move_to_stream(folder, target, progress=progress)

    # It is in the place of one of the move now.
    with pytest.raises(CorruptArtifact, match="not of this move"):
        move_to_stream(folder, target, progress=quietly)
    assert (folder / DATABASE).exists()


def test_what_services_acknowledge_while_their_log_is_taken_away_is_in_it(folder, target, clock, tmp_path):
    move_to_stream(folder, target, progress=quietly)
    acknowledged, refused = [], []

    def send(log, thread) -> None:
        for number in count():
            sent = entry(event(1, event_id=f"{thread}-{number}"))
            try:
                log.append([sent], seconds=20)
            except Unavailable as error:
                refused.append(error.message)
                return
            acknowledged.append(sent.record_id)

    with (
        closing(in_stream(tmp_path / "a", target, clock)) as one,
        closing(in_stream(tmp_path / "b", target, clock)) as two,
    ):
        threads = [threading.Thread(target=send, args=[log, n]) for n, log in enumerate((one, two))]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(acknowledged) > 50)
        move_to_sqlite(tmp_path / "c", target, progress=quietly)
        for thread in threads:
            thread.join()

    assert len([message for message in refused if "moved out of the stream" in message]) == 2
    with closing(in_sqlite(tmp_path / "c", clock)) as log:
        records = log.read(log.bounds().first, max_records=1_000_000).records
    events = [content_of(record) for record in records if record.kind is RecordKind.EVENT]
    sent = [item.event_id for item in events if "-" in item.event_id]
    assert sorted(sent) == sorted(acknowledged)
    with pytest.raises(Unavailable, match="moved out of the stream"):
        in_stream(tmp_path / "a", target, clock)
