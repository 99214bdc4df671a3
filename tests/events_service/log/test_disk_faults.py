"""Disks that cannot sync, and disks that are full: nothing is acknowledged that is not kept."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys

import pytest

from common.clock import SystemClock
from common.errors import StorageFull
from events_service.log._disk import has_frames
from events_service.log.sqlite import DATABASE, SqliteEventLog
from tests.disks import file_size_limit
from tests.events_service.samples import entries, entry, event, event_ids

LIMIT_BYTES = 4 * 1024 * 1024


@pytest.fixture
def strace():
    if shutil.which("strace") is None and "CI" not in os.environ:
        pytest.skip("strace is not installed")


# Sync 40 is one of a commit or of the database after it was copied, as it happens: the appender copies often.
@pytest.mark.parametrize("number", [12, 40, 41, 42, 43])
def test_process_ends_at_the_first_sync_that_fails_and_has_acknowledged_nothing_after_it(tmp_path, strace, number):
    faulty = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=fdatasync", "-e"]
    faulty.append(f"inject=fdatasync:error=EIO:when={number}")
    appender = [sys.executable, "-m", "tests.events_service.appender", str(tmp_path / "log"), "r"]

    ended = subprocess.run([*faulty, *appender], capture_output=True, text=True, check=False, timeout=120)
    log = SqliteEventLog(tmp_path / "log", clock=SystemClock())
    kept = event_ids(log.read(1, max_records=100_000).records)
    log.close()

    assert ended.returncode == os.EX_IOERR
    assert "disk_sync_failed" in ended.stdout + ended.stderr
    acknowledged = [line for line in ended.stdout.splitlines() if line.startswith("r-")]
    assert acknowledged
    assert set(acknowledged) <= set(kept)
    assert len(kept) == len(set(kept))


def test_log_that_may_not_grow_is_full_keeps_what_it_acknowledged_and_recovers(tmp_path):
    log = SqliteEventLog(tmp_path / "log", clock=SystemClock(), checkpoint_pages=1_000_000)
    acknowledged = []

    def append_for_ever():
        for number in itertools.count():
            large = event(number, properties_json='{"text":"' + 30_000 * "x" + '"}')
            log.append([entry(large)], seconds=20)
            acknowledged.append(large.event_id)

    with file_size_limit(LIMIT_BYTES), pytest.raises(StorageFull, match="event log"):
        append_for_ever()
    during = event_ids(log.read(1, max_records=1000).records)
    log.append([entry(event(5000))], seconds=20)
    after = event_ids(log.read(1, max_records=1000).records)
    log.close()

    assert acknowledged
    assert during == acknowledged
    assert after == [*acknowledged, "e5000"]
    assert [path.name for path in (tmp_path / "log").iterdir() if path.name.startswith(".probe")] == []


def test_write_ahead_log_that_is_begun_again_has_no_frames_of_before(tmp_path):
    log = SqliteEventLog(tmp_path / "log", clock=SystemClock(), checkpoint_pages=20)
    wal = tmp_path / "log" / f"{DATABASE}-wal"
    before = has_frames(wal, 1), has_frames(wal, 20)
    for number in range(200):
        log.append(entries(number), seconds=20)
    size_bytes = wal.stat().st_size
    log.close()

    assert before == (True, False)
    # Copied whenever it had 20 pages, and a commit has only a few.
    assert size_bytes < 60 * 4120
