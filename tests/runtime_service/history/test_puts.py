"""What was put: the last of each id by offset, once, bounded, removed with its dataset, its user or by a snapshot."""

from __future__ import annotations

from contextlib import closing

import pytest

from common.deletions import DeletedUsers, DigestSet, id_digest
from common.positions import LEGACY_EPOCH, Epoch, Lineage, Position
from common.testing import loop_in_thread, wait_until
from protos.tailorbird.storage.v1.deletion_pb2 import DeletionEntry
from runtime_service.history import Put, PutsMark
from runtime_service.history.held import HeldPositions, prune_held
from runtime_service.history.lmdb import LmdbHistoryReader, LmdbHistoryWriter
from tests.runtime_service.world import GROUP

SONGS = GROUP.replace("films", "songs")


def put(offset, entity_id="i", *, kind="ITEMS", group=GROUP, properties='{"genre":"a"}'):
    return Put(offset, group, kind, entity_id, properties)


class PeekingWriter(LmdbHistoryWriter):
    """A writer that can look at its store, which is opened once in a process."""

    is_closed = False

    def first_put(self, group, kind):
        with self._environment.begin() as transaction:
            puts = self._puts.after(transaction, group, kind, offset=0, limit=1)
        return puts[0].offset if puts else None


@pytest.fixture
def writer(history_folder):
    """Give a writer whose transactions are small."""
    made = PeekingWriter(history_folder, max_events=5, max_puts=1000, removal_step=2)
    yield made
    if not made.is_closed:
        made.close()


def store(writer, *puts):
    writer.append([], puts=puts, next_offset=puts[-1].offset + 1)


@pytest.fixture
def read(writer, history_folder):
    """Let a reader read once the writer has ended: LMDB opens a store once in a process."""

    def run(question):
        writer.close()
        writer.is_closed = True
        with closing(LmdbHistoryReader(history_folder)) as reader:
            return question(reader)

    return run


@pytest.fixture
def offsets(read):
    """Return the offsets of what is kept of some datasets."""

    def run(*datasets):
        return read(
            lambda reader: [
                [one.offset for one in reader.puts(*dataset, after=0, limit=100)]
                for dataset in datasets or [(GROUP, "ITEMS")]
            ]
        )

    return run


def test_put_is_read_as_it_was_stored_by_order_and_by_id(writer, read):
    puts = [put(1, "größe|"), put(2, "b", properties=None), put(3, "u", kind="USERS"), put(4, "x", group=SONGS)]
    store(writer, *puts)

    def question(reader):
        assert reader.puts(GROUP, "ITEMS", after=0, limit=10) == puts[:2]
        assert reader.puts(GROUP, "USERS", after=0, limit=10) == puts[2:3]
        assert reader.puts(SONGS, "ITEMS", after=0, limit=10) == puts[3:]
        assert reader.puts(GROUP, "ITEMS", after=0, limit=1) == puts[:1]
        assert reader.puts(GROUP, "ITEMS", after=1, limit=10) == puts[1:2]
        assert reader.find_put(GROUP, "USERS", "u") == puts[2]
        assert reader.find_put(GROUP, "USERS", "b") is None
        assert reader.puts_mark() == PutsMark(0, 4)
        return True

    assert read(question)


def test_last_put_of_an_id_takes_the_place_of_those_before_it(writer, read):
    store(writer, put(1, "a"), put(2, "b"), put(3, "a", properties='{"genre":"b"}'))
    store(writer, put(4, "b"), put(5, "a", properties='{"genre":"c"}'))

    kept = read(lambda reader: reader.puts(GROUP, "ITEMS", after=0, limit=10))

    assert kept == [put(4, "b"), put(5, "a", properties='{"genre":"c"}')]


def test_puts_that_are_appended_again_count_once(writer, offsets):
    store(writer, put(1, "a"), put(2, "a"))
    store(writer, put(1, "a"), put(2, "a"), put(3, "b"))

    assert offsets() == [[2, 3]]


def test_puts_beyond_the_bound_go_and_those_of_long_ago_first(history_folder):
    with closing(LmdbHistoryWriter(history_folder, max_events=5, max_puts=50)) as made:
        for first in range(1, 401, 100):
            store(made, *(put(offset, f"i{offset}") for offset in range(first, first + 100)))

    with closing(LmdbHistoryReader(history_folder)) as reader:
        kept = reader.puts(GROUP, "ITEMS", after=0, limit=1000)
    assert len(kept) == 50
    assert sum(one.offset > 300 for one in kept) > 40


def test_end_of_a_dataset_removes_what_was_put_into_it_up_to_then(writer, offsets):
    store(writer, *(put(offset, f"i{offset}") for offset in range(1, 8)), put(8, "u", kind="USERS"))

    for _ in writer.forget(GROUP, "ITEMS", up_to=6):
        pass

    assert offsets((GROUP, "ITEMS"), (GROUP, "USERS")) == [[7], [8]]


def test_readers_see_by_the_mark_that_puts_are_gone(writer, read):
    store(writer, put(1), put(2, "b"))
    for _ in writer.forget(GROUP, "ACTIONS", up_to=2):
        pass

    assert read(lambda reader: reader.puts_mark()) == PutsMark(1, 2)


@pytest.mark.parametrize("remove", [lambda writer: writer.clear(), lambda writer: writer.skip(9)])
def test_replaced_log_removes_all_puts(writer, read, remove):
    store(writer, put(1), put(2, "u", kind="USERS"))
    remove(writer)

    def question(reader):
        kept = reader.puts(GROUP, "ITEMS", after=0, limit=9), reader.find_put(GROUP, "USERS", "u")
        return kept, reader.puts_mark().generation

    assert read(question) == (([], None), 1)


def test_deleted_users_are_gone_up_to_the_deletion_and_others_stay(writer, offsets):
    ids = ["u1", "u2", "u3", "u1", "u4"]
    store(writer, *(put(offset, name, kind="USERS") for offset, name in enumerate(ids, 1)), put(6, "u2"))
    salt = b"k" * 32
    deleted = DeletedUsers(
        "datasets/films/deletions/1",
        DeletionEntry(dataset_group_arn=GROUP, up_to_offset=3),
        DigestSet.of(salt, map(id_digest, ["u1", "u2", "u3"])),
        DigestSet.of(salt, []),
    )

    for _ in writer.forget_users(GROUP, deleted):
        pass

    # `u1` was put again after the deletion.
    assert offsets((GROUP, "USERS"), (GROUP, "ITEMS")) == [[4, 5], [6]]


def test_what_all_workers_have_in_snapshots_is_removed_and_the_mark_stays(writer, read, history_folder):
    store(
        writer,
        *(put(offset, f"i{offset}") for offset in range(1, 8)),
        *(put(offset, f"u{offset}", kind="USERS") for offset in range(8, 12)),
    )
    held = HeldPositions(history_folder, names=["worker-0", "worker-1"])
    held.write("worker-0", {(GROUP, "ITEMS"): Position(LEGACY_EPOCH, 5), (GROUP, "USERS"): Position(LEGACY_EPOCH, 11)})
    held.write("worker-1", {(GROUP, "ITEMS"): Position(LEGACY_EPOCH, 4)})

    with loop_in_thread() as loop, loop.running(prune_held(writer, held, pause_seconds=0.01)):
        wait_until(lambda: writer.first_put(GROUP, "ITEMS") == 5)
        held.write("worker-1", {(GROUP, "ITEMS"): Position(LEGACY_EPOCH, 6)})
        wait_until(lambda: writer.first_put(GROUP, "ITEMS") == 6)

    def question(reader):
        kept = [reader.puts(GROUP, kind, after=0, limit=9) for kind in ("ITEMS", "USERS")]
        return [[one.offset for one in puts] for puts in kept], reader.puts_mark()

    assert read(question) == ([[6, 7], [8, 9, 10, 11]], PutsMark(0, 11))


def test_snapshot_of_another_log_removes_nothing(writer, offsets, history_folder):
    writer.append([], puts=[put(1), put(2, "b")], next_offset=3, lineage=Lineage([Epoch(7, 1)]))
    held = HeldPositions(history_folder, names=["worker-0"])
    held.write("worker-0", {(GROUP, "ITEMS"): Position(8, 2), (GROUP, "ACTIONS"): Position(7, 2)})
    store(writer, put(3, "x", kind="ACTIONS"))

    with loop_in_thread() as loop, loop.running(prune_held(writer, held, pause_seconds=0.01)):
        held.write("worker-0", {(GROUP, "ITEMS"): Position(8, 2), (GROUP, "ACTIONS"): Position(7, 3)})
        wait_until(lambda: writer.first_put(GROUP, "ACTIONS") is None)

    assert offsets() == [[1, 2]]


@pytest.mark.parametrize("text", ["", "[]]", "{}", '[["g"]]', '[["g","ITEMS","x",1]]', "\xff"])
def test_file_that_cannot_be_read_removes_nothing(history_folder, text):
    held = HeldPositions(history_folder, names=["worker-0"])
    held.write("worker-0", {(GROUP, "ITEMS"): Position(1, 2)})
    assert held.read() == {(GROUP, "ITEMS"): (Position(1, 2),)}

    (history_folder / "held" / "worker-0.json").write_bytes(text.encode("latin-1"))

    assert held.read() == {}
