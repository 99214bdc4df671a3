"""What was acknowledged is there, once, after a cut of the files at any byte and after a kill at any moment."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.clock import SystemClock
from events_service.log.sqlite import DATABASE, SqliteEventLog
from tests.events_service.samples import entries, event_ids

CALLS = [entries(*range(10 * call, 10 * call + 1 + call % 4)) for call in range(12)]
SENT = [entry.record_id for call in CALLS for entry in call]
ROUNDS = 10


@dataclass(frozen=True)
class History:
    """The files of a log as they lay when all calls were acknowledged and nothing was copied into the database.

    Attributes:
        database: The database file.
        checkpointed: The same after the write-ahead log was copied into it.
        wal: The write-ahead log.
        acknowledged: Size of `wal` when each call was acknowledged.
    """

    database: bytes
    checkpointed: bytes
    wal: bytes
    acknowledged: tuple[int, ...]


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> History:
    folder = tmp_path_factory.mktemp("history")
    database, wal = folder / DATABASE, folder / f"{DATABASE}-wal"
    log = SqliteEventLog(folder, clock=SystemClock(), checkpoint_pages=1_000_000)
    sizes = []
    for call in CALLS:
        log.append(call, seconds=20)
        sizes.append(wal.stat().st_size)
    before, content = database.read_bytes(), wal.read_bytes()
    copy = tmp_path_factory.mktemp("copy")
    shutil.copy(database, copy)
    shutil.copy(wal, copy)
    log.close()
    with closing(sqlite3.connect(copy / DATABASE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return History(before, (copy / DATABASE).read_bytes(), content, tuple(sizes))


def recovered(database: bytes, wal: bytes) -> tuple[list[str], list[str], list[int]]:
    """Open a log on these files and send all calls again.

    Returns:
        The ids that were recovered, those after the repetition, and the offsets of the latter.
    """
    with TemporaryDirectory() as folder:
        Path(folder, DATABASE).write_bytes(database)
        Path(folder, f"{DATABASE}-wal").write_bytes(wal)
        log = SqliteEventLog(Path(folder), clock=SystemClock())
        try:
            recovered_ids = event_ids(log.read(1, max_records=1000).records)
            for call in CALLS:
                log.append(call, seconds=20)
            after = log.read(1, max_records=1000).records
        finally:
            log.close()
    return recovered_ids, event_ids(after), [item.offset for item in after]


def assert_complete(history: History, cut: int, outcome: tuple[list[str], list[str], list[int]]) -> None:
    recovered_ids, after, offsets = outcome
    safe = sum(len(call) for call, size in zip(CALLS, history.acknowledged, strict=True) if size <= cut)
    complete_calls = {sum(len(call) for call in CALLS[:number]) for number in range(len(CALLS) + 1)}
    assert recovered_ids == SENT[: len(recovered_ids)]
    assert len(recovered_ids) >= safe
    assert len(recovered_ids) in complete_calls
    assert after == SENT
    assert offsets == list(range(1, len(SENT) + 1))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_log_that_is_cut_at_any_byte_keeps_what_was_acknowledged_before(history, data):
    cut = data.draw(st.integers(0, len(history.wal)))

    assert_complete(history, cut, recovered(history.database, history.wal[:cut]))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_torn_write_after_any_byte_takes_nothing_acknowledged_along(history, data):
    cut = data.draw(st.integers(0, len(history.wal)))
    torn = data.draw(st.binary(max_size=2 * 4096))

    assert_complete(history, cut, recovered(history.database, history.wal[:cut] + torn))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_copying_into_the_database_may_be_cut_at_any_byte(history, data):
    cut = data.draw(st.integers(0, len(history.checkpointed)))
    database = history.checkpointed[:cut] + history.database[cut:]

    assert_complete(history, len(history.wal), recovered(database, history.wal))


def test_database_alone_is_whole_after_the_copying(history):
    assert_complete(history, len(history.wal), recovered(history.checkpointed, b""))


def test_process_that_is_killed_at_random_moments_loses_and_doubles_nothing(tmp_path):
    dice = random.Random(20260101)
    acknowledged: list[str] = []
    for number in range(ROUNDS):
        command = [sys.executable, "-m", "tests.events_service.appender", str(tmp_path / "log"), f"r{number}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            acknowledged += [process.stdout.readline().strip() for _ in range(dice.randint(1, 400))]
            process.kill()
            # What was acknowledged up to the kill, and only then read, counts as well.
            acknowledged += process.stdout.read().split()

    log = SqliteEventLog(tmp_path / "log", clock=SystemClock())
    kept = log.read(1, max_records=1_000_000).records
    log.close()

    ids = event_ids(kept)
    assert "" not in acknowledged
    assert set(acknowledged) - set(ids) == set()
    assert len(ids) == len(set(ids))
    assert [item.offset for item in kept] == list(range(1, len(kept) + 1))
    # A call's three events are there together or not at all.
    assert len(ids) % 3 == 0
