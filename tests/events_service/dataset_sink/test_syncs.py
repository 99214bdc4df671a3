"""What a flush into a local store has synced before the log is told that the records are in the table."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import polars as pl
import pytest

from benchmarks.faults.crash_operations import OPERATIONS
from common.errors import CorruptArtifact
from common.tables import Table
from events_service.log.sqlite import DATABASE
from tests.traces import named, syncs, traced

FLUSH = """
import pathlib, sys
from benchmarks.faults.crash_operations import OPERATIONS
folder = pathlib.Path(sys.argv[1])
OPERATIONS["flush"].prepare(folder)
OPERATIONS["flush"].run(folder, lambda _: None)
"""
#: What a process leaves that dies right after its commit, and the next one that finds it.
FLUSH_AGAIN = """
import pathlib, sys
from benchmarks.faults import crash_operations
folder = pathlib.Path(sys.argv[1])
operation = crash_operations.OPERATIONS["flush"]
operation.prepare(folder)
with crash_operations._open_log(folder) as log:
    for location in log.tables():
        log.mark_consumed("dataset_sink", location, 0)
operation.run(folder, lambda _: None)
"""


@pytest.fixture
def strace():
    if shutil.which("strace") is None and "CI" not in os.environ:
        pytest.skip("strace is not installed")


def cursor_moves(calls, folder):
    """Return the writes to the log's write-ahead log, of which the last after a commit is that of the cursor."""
    wal = folder / "log" / f"{DATABASE}-wal"
    return [call for call in calls if call.name == "pwrite64" and f"<{wal}>" in call.arguments]


def test_commit_with_its_data_and_folders_is_synced_before_the_cursor_moves(tmp_path):
    calls = traced(FLUSH, tmp_path, output=tmp_path / "calls")

    commits = sorted((tmp_path / "store").rglob("_delta_log/*.json"))
    flushed = [path for path in commits if "OPTIMIZE" not in path.read_text() and "VACUUM" not in path.read_text()]
    assert len(flushed) == 4
    for commit in flushed:
        committed = named(calls, commit)
        moved = next(call for call in cursor_moves(calls, tmp_path) if call.begun > committed.ended)
        table = commit.parent.parent
        added = [json.loads(line).get("add") for line in commit.read_text().splitlines()]
        data = [table / item["path"] for item in added if item is not None]
        assert data
        is_new = commit.name.endswith("0.json")
        for path in (*data, commit, commit.parent, table, *((table.parent, tmp_path / "store") if is_new else ())):
            assert any(committed.ended < call.begun and call.ended < moved.begun for call in syncs(calls, path)), path


def test_commits_that_are_found_are_synced_before_the_cursor_moves(tmp_path):
    calls = traced(FLUSH_AGAIN, tmp_path, output=tmp_path / "calls")

    for commit in (tmp_path / "store").rglob("_delta_log/*0.json"):
        assert len(syncs(calls, commit)) > 1
        assert syncs(calls, commit)[-1].ended < cursor_moves(calls, tmp_path)[-1].begun


#: The first flush fails to sync, the second finds its commit; what the log's cursors say after each.
FLUSH_TWICE = """
import pathlib, sys
from benchmarks.faults import crash_operations
from common.errors import Unavailable
folder = pathlib.Path(sys.argv[1])
operation = crash_operations.OPERATIONS["flush"]
try:
    operation.run(folder, lambda _: None)
except Unavailable as error:
    print(error.message, file=sys.stderr)
    with crash_operations._open_log(folder) as log:
        print([lag.table.dataset_type for lag in log.lags("dataset_sink")], file=sys.stderr)
operation.check(folder, [])
with crash_operations._open_log(folder) as log:
    print(log.lags("dataset_sink"), file=sys.stderr)
"""


def test_sync_that_fails_moves_no_cursor_and_what_is_committed_is_read_back(tmp_path, strace):
    operation = OPERATIONS["flush"]
    operation.prepare(tmp_path)
    log = tmp_path / "store" / "datasets" / "films" / "interactions" / "_delta_log"
    faulty = ["strace", "-f", "-qq", "-o", os.devnull, "-P", str(log), "-e", "trace=fsync"]
    faulty += ["-e", "inject=fsync:error=EIO:when=1", sys.executable, "-c", FLUSH_TWICE, str(tmp_path)]

    ended = subprocess.run(faulty, capture_output=True, text=True, check=False, timeout=120)

    assert ended.returncode == 0, ended.stderr
    refused, behind, afterwards = ended.stderr.splitlines()[-3:]
    assert "cannot be synced" in refused
    assert behind == "['INTERACTIONS', 'ITEMS']"
    assert afterwards == "[]"


def test_commit_that_the_disk_does_not_have_is_told(store):
    table = Table(store, "datasets/films")
    table.append(pl.DataFrame({"a": [1]}))
    (data,) = (store.local_folder("datasets/films")).glob("*.parquet")
    table.sync_newest()
    data.write_bytes(b"\0" * data.stat().st_size)

    with pytest.raises(CorruptArtifact, match="never on the disk as a whole"):
        table.sync_newest()


def test_commit_that_a_deletion_removes_meanwhile_fails_nobody(store, tmp_path):
    table = Table(store, "datasets/films/interactions")
    table.append(pl.DataFrame({"USER_ID": ["u"]}))
    log = store.local_folder(table.location) / "_delta_log"
    # In the list of files, and not there when it is opened.
    (log / f"{1:020}.json").symlink_to(tmp_path / "removed")

    table.sync_newest()
