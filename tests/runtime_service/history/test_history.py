"""Histories in LMDB: complete up to an offset of the log, each event once, readable from other processes, rebuilt."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import lmdb
import pytest

from common.errors import Unavailable
from common.positions import LEGACY_EPOCH, Epoch, Lineage, Position
from inference.recent_events import RecentEvent
from runtime_service.history import HistoryEvent
from runtime_service.history.eviction import ClockEviction
from runtime_service.history.lmdb import LmdbHistoryReader, LmdbHistoryWriter, prepare_history
from runtime_service.history.records import StoredHistory, encode
from tests.disks import file_size_limit

MAP_BYTES = 1 << 20
OTHER_GROUP = "arn:aws:personalize:us-east-1:000000000000:dataset-group/songs"
GROUP = "arn:aws:personalize:us-east-1:000000000000:dataset-group/films"


def event(offset, *, user="u", item="i", session="", event_id=None, group=GROUP, millis=None):
    return HistoryEvent(
        offset=offset,
        dataset_group_arn=group,
        session_id=session,
        user_id=user,
        item_id=item,
        event_type="watch",
        event_id=f"e-{offset}" if event_id is None else event_id,
        millis=offset if millis is None else millis,
    )


@pytest.fixture
def writer(history_folder):
    made = LmdbHistoryWriter(history_folder, max_events=5)
    yield made
    made.close()


def write(folder, events):
    """Append events with a writer that is closed afterwards."""
    with closing(LmdbHistoryWriter(folder, max_events=5)) as made:
        made.append(events, next_offset=events[-1].offset + 1)


# LMDB opens a store once in a process, so another process reads, as workers do.
READ = """
import json, sys
from pathlib import Path
from runtime_service.history.lmdb import LmdbHistoryReader
readers = {}
for line in sys.stdin:
    folder, group, user = json.loads(line)
    reader = readers.get(folder) or readers.setdefault(folder, LmdbHistoryReader(Path(folder)))
    history = reader.find(group, user)
    events = history.events() if history else []
    rows = [[event.offset, event.millis, event.event_type, event.item_id] for event in events]
    print(json.dumps({"last_offset": history.last_offset, "events": rows} if history else None), flush=True)
"""


class ReaderProcess:
    """Readers in a process of their own; each store that was read stays open there."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", READ], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def find(self, folder, user, group=GROUP):
        self.process.stdin.write(json.dumps([str(folder), group, user]) + "\n")
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def reader_process():
    made = ReaderProcess()
    yield made
    made.close()


@pytest.fixture
def find(reader_process, history_folder):
    def read(user="u", group=GROUP):
        return reader_process.find(history_folder, user, group)

    return read


@pytest.fixture
def items(find):
    def read(user="u", group=GROUP):
        history = find(user, group)
        return history and [item for _, _, _, item in history["events"]]

    return read


def test_new_store_begins_with_the_log(writer, items):
    assert writer.next_offset() == 1
    assert items() is None


def test_event_is_read_as_it_was_written(writer, find):
    writer.append([event(1, item="größe", millis=1_700_000_000_123)], next_offset=2)

    assert find() == {"last_offset": 1, "events": [[1, 1_700_000_000_123, "watch", "größe"]]}
    assert writer.next_offset() == 2


def test_events_that_are_appended_again_count_once(writer, items):
    first = [event(1, item="a"), event(2, item="b")]
    writer.append(first, next_offset=3)

    writer.append([*first, event(3, item="c")], next_offset=4)

    assert items() == ["a", "b", "c"]
    assert writer.next_offset() == 4


def test_event_that_was_sent_twice_counts_once(writer, items):
    writer.append([event(1, item="a", event_id="same"), event(2, item="a", event_id="same")], next_offset=3)

    assert items() == ["a"]


def test_events_without_ids_are_all_different(writer, items):
    writer.append([event(1, item="a", event_id=""), event(2, item="a", event_id="")], next_offset=3)

    assert items() == ["a", "a"]


def test_next_offset_never_falls(writer):
    writer.append([event(1)], next_offset=9)

    writer.append([], next_offset=4)

    assert writer.next_offset() == 9


def test_newest_events_are_kept(writer, items):
    writer.append([event(offset, item=f"i{offset}") for offset in range(1, 9)], next_offset=9)

    assert items() == ["i4", "i5", "i6", "i7", "i8"]


def test_groups_are_apart(writer, items):
    writer.append([event(1, item="film"), event(2, item="song", group=OTHER_GROUP)], next_offset=3)

    assert (items(), items(group=OTHER_GROUP)) == (["film"], ["song"])


def test_user_and_session_of_one_name_are_apart(writer, items):
    writer.append([event(1, user="", session="x", item="of the session")], next_offset=2)
    writer.append([event(2, user="x", item="of the user")], next_offset=3)

    assert items("x") == ["of the user"]


def test_session_before_login_is_found_by_its_id_and_goes_over_to_the_user(writer, items, find):
    writer.append([event(1, user="", session="s", item="a"), event(2, user="", session="s", item="b")], next_offset=3)
    assert items("s") == ["a", "b"]

    writer.append([event(3, user="u", session="s", item="c")], next_offset=4)

    assert items("u") == ["a", "b", "c"]
    assert items("s") is None
    # What came before log-in counts from the log-in on: an artifact that ends between the two lacks it.
    assert [offset for offset, _, _, _ in find()["events"]] == [3, 3, 3]


def test_login_without_an_item_ties_the_session_all_the_same(writer, items):
    writer.append([event(1, user="", session="s", item="a"), event(2, user="u", session="s", item="")], next_offset=3)

    assert items("u") == ["a"]


def test_event_without_user_and_session_is_skipped(writer, items):
    writer.append([event(1, user="", session="", item="a")], next_offset=2)

    assert items("") is None
    assert writer.next_offset() == 2


def test_skipping_begins_anew_at_a_later_place_of_the_same_log(writer, items):
    lineage = Lineage([Epoch(7, 1)])
    writer.append([event(1, item="a")], next_offset=2, lineage=lineage)

    writer.skip(100)

    assert items() is None
    assert (writer.next_offset(), writer.lineage()) == (100, lineage)


def test_group_is_removed_up_to_an_offset_and_no_other_group_is(history_folder, items):
    films = [event(offset, user=f"u{offset}", item="a") for offset in range(1, 11)]
    others = [event(11, item="song", group=OTHER_GROUP), event(12, user="u1", item="b")]
    with closing(LmdbHistoryWriter(history_folder, max_events=5, removal_step=3)) as writer:
        writer.append([*films, *others], next_offset=13)

        steps = sum(1 for _ in writer.forget(GROUP, "INTERACTIONS", up_to=9))

    assert steps > 3
    assert [items(f"u{number}") for number in range(1, 11)] == [["b"], *[None] * 8, ["a"]]
    assert items(group=OTHER_GROUP) == ["song"]


def test_files_are_their_owners_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        prepare_history(tmp_path / "runtime" / "history", map_bytes=MAP_BYTES)
        write(tmp_path / "runtime" / "history", [event(1)])
    finally:
        os.umask(before)

    paths = list((tmp_path / "runtime").rglob("*"))
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "runtime", *paths) if path.is_dir()} == {0o700}


def test_clearing_forgets_everything(writer, items):
    writer.append([event(1)], next_offset=2)

    writer.clear()

    assert items() is None
    assert writer.next_offset() == 1


def test_users_are_bounded_and_the_longest_inactive_are_evicted(history_folder, items):
    with closing(LmdbHistoryWriter(history_folder, max_events=5, max_users=100)) as made:
        for first in range(1, 2001, 101):
            batch = [event(offset, user=f"user-{offset}") for offset in range(first, first + 100)]
            made.append([*batch, event(first + 100, user="regular")], next_offset=first + 101)

    kept = [offset for offset in range(1, 2021) if items(f"user-{offset}")]
    assert items("regular")
    assert len(kept) == 99
    # Of a few neighbours the oldest is evicted, so hardly any of those that are left is old.
    assert sum(offset > 1500 for offset in kept) > 80


def test_a_bound_that_was_lowered_by_far_is_reached_in_steps(tmp_path):
    with lmdb.open(str(tmp_path), max_dbs=1, map_size=1 << 28, sync=False) as environment:
        database = environment.open_db(b"entries")
        eviction = ClockEviction(database, max_entries=10, last_used=int)
        with environment.begin(write=True) as transaction:
            for number in range(60_010):
                transaction.put(b"%08d" % number, b"%d" % number, db=database)

            assert [eviction.evict(transaction) for _ in range(3)] == [50_000, 10_000, 0]


def test_no_more_items_are_kept_as_shown_than_may_be(history_folder):
    with closing(LmdbHistoryWriter(history_folder, max_events=5, max_shown=50)) as made:
        for offset in range(1, 501):
            made.append([replace(event(offset), impression=(f"item-{offset}",))], next_offset=offset + 1)

    with closing(LmdbHistoryReader(history_folder)) as reader:
        names = [f"item-{offset}" for offset in range(1, 501)]
        assert sum(reader.shown(GROUP, names, after=Position(LEGACY_EPOCH, 0))) == 50


def test_full_map_grows_under_open_readers(writer, items):
    assert items() is None
    batches = [
        [event(offset, user=f"user-{offset}", item="x" * 200) for offset in range(first, first + 1000)]
        for first in range(1, 10_001, 1000)
    ]
    for batch in batches:
        writer.append(batch, next_offset=batch[-1].offset + 1)

    assert items("user-1") == ["x" * 200]
    assert items("user-10000") == ["x" * 200]


def test_grown_store_is_opened_again_with_all_that_is_in_it(history_folder):
    write(history_folder, [event(n, user=f"user-{n}", item="x" * 200) for n in range(1, 9001)])

    prepare_history(history_folder, map_bytes=MAP_BYTES)

    again = LmdbHistoryWriter(history_folder, max_events=5)
    again.append([event(9001, user="one more")], next_offset=9002)
    assert again.next_offset() == 9002
    again.close()


def test_preparing_an_existing_store_keeps_it(history_folder, items):
    write(history_folder, [event(1, item="a")])

    prepare_history(history_folder, map_bytes=MAP_BYTES)

    assert items() == ["a"]


def prepared_again(folder):
    """Prepare the store, and return where its writer would go on."""
    prepare_history(folder, map_bytes=MAP_BYTES)
    with closing(LmdbHistoryWriter(folder, max_events=5)) as writer:
        return writer.next_offset()


def test_store_that_was_written_when_the_machine_stopped_is_made_anew(history_folder):
    write(history_folder, [event(1)])
    (history_folder / "written-during").write_text("an earlier run of the machine")

    assert prepared_again(history_folder) == 1


def test_store_that_was_closed_outlives_the_machine(history_folder):
    write(history_folder, [event(1)])

    assert (history_folder / "written-during").read_text() == "closed"
    assert prepared_again(history_folder) == 2


def test_store_whose_writer_was_killed_is_kept_while_the_machine_runs(history_folder):
    next_offset = written_until_killed(history_folder, 3)

    assert (history_folder / "written-during").read_text() != "closed"
    assert prepared_again(history_folder) >= next_offset


def test_store_that_cannot_be_read_is_made_anew(history_folder):
    write(history_folder, [event(1)])
    (history_folder / "data.mdb").write_bytes(b"no database" * 1000)

    assert prepared_again(history_folder) == 1


WRITE = """
import sys
from pathlib import Path
from inference.recent_events import RecentEvent
from runtime_service.history import HistoryEvent
from runtime_service.history.lmdb import LmdbHistoryWriter
writer = LmdbHistoryWriter(Path(sys.argv[1]), max_events=1000)
offset = writer.next_offset()
while True:
    places = range(offset, offset + 7)
    batch = [HistoryEvent(n, sys.argv[2], "", f"u{n % 3}", f"i{n}", "watch", f"e{n}", n) for n in places]
    offset += 7
    writer.append(batch, next_offset=offset)
    print(offset, flush=True)
"""


def written_until_killed(folder, after_lines):
    command = [sys.executable, "-c", WRITE, str(folder), GROUP]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        next_offset = [int(process.stdout.readline()) for _ in range(after_lines)][-1]
        os.kill(process.pid, signal.SIGKILL)
        process.stdout.read()
    return next_offset


def test_killed_writer_loses_nothing_that_it_reported_and_doubles_nothing(history_folder, find):
    next_offsets = [written_until_killed(history_folder, lines) for lines in (1, 9, 20)]

    writer = LmdbHistoryWriter(history_folder, max_events=1000)
    end = writer.next_offset()
    writer.close()
    offsets = sorted(offset for user in ("u0", "u1", "u2") for offset, _, _, _ in find(user)["events"])
    assert next_offsets == sorted(next_offsets)
    assert end >= next_offsets[-1]
    assert offsets == list(range(1, end))


READING = """
import sys
from pathlib import Path
from runtime_service.history.lmdb import LmdbHistoryReader
with LmdbHistoryReader(Path(sys.argv[1]))._environment.begin():
    print("reading", flush=True)
    sys.stdin.read()
"""


def test_reader_that_was_killed_while_reading_gives_its_place_free(history_folder, writer, find):
    command = [sys.executable, "-c", READING, str(history_folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        taken = writer._environment.readers()
        process.kill()

    find()  # opens the store, as the successor of the killed worker does

    assert str(process.pid) in taken
    assert str(process.pid) not in writer._environment.readers()


def test_values_of_events_are_kept_and_none_stays_none():
    first, second = StoredHistory(
        encode([RecentEvent(1, 5, "rate", "i", 7, 3.5), RecentEvent(2, 6, "watch", "j", 8)])
    ).events()

    assert first == RecentEvent(1, 5, "rate", "i", 7, 3.5)
    assert math.isnan(second.value)


def test_a_history_is_parsed_once():
    history = StoredHistory(encode([RecentEvent(1, 5, "rate", "i", 7)]))

    assert history.events() is history.events()


def test_full_disk_stores_nothing_of_a_page_and_the_next_attempt_stores_it(writer):
    writer.append([event(1)], next_offset=2)
    page = [event(offset, user=f"u{offset}", item="i" * 100) for offset in range(2, 3002)]
    with file_size_limit(300_000), pytest.raises(Unavailable, match="history"):
        writer.append(page, next_offset=3002)
    between = writer.next_offset()

    writer.append(page, next_offset=3002)

    assert (between, writer.next_offset()) == (2, 3002)
