"""What a flush into a local store has synced before the log is told that the records are in the table."""

from __future__ import annotations

import json

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
