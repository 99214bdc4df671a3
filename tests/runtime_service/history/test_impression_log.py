"""Impressions of recommendations: read once, from all workers of the host, and bounded."""

from __future__ import annotations

import os
import sys
import uuid
from contextlib import closing, contextmanager

import pytest

from common.positions import LEGACY_EPOCH, Position
from runtime_service.history import HistoryEvent
from runtime_service.history.impression_log import ImpressionLog, ImpressionReader
from runtime_service.history.lmdb import LmdbHistoryReader, LmdbHistoryWriter, prepare_history
from tests.runtime_service.world import GROUP


def new_id() -> str:
    return f"RID-{uuid.uuid4()}"


def take(impressions, recommendation_id):
    return impressions.take([recommendation_id]).get(recommendation_id, [])


@pytest.fixture
def open_log(tmp_path):
    opened = []

    def call(name="worker-0", **options):
        opened.append(ImpressionLog(tmp_path / "answers", name, **options))
        return opened[-1]

    yield call
    for log in opened:
        log.close()


@pytest.fixture
def impressions(tmp_path):
    return ImpressionReader(tmp_path / "answers", key_bytes=3)


def test_a_recommendation_is_read_once_whichever_worker_made_it(open_log, impressions):
    first, second = new_id(), new_id()
    open_log("worker-0").append(first, [b"abc", b"def"])
    open_log("worker-1").append(second, [b"ghi"])

    assert take(impressions, second) == [b"ghi"]
    assert take(impressions, first) == [b"abc", b"def"]
    assert take(impressions, first) == []


def test_recommendations_that_are_logged_later_are_read_too(open_log, impressions):
    log, early, late = open_log(), new_id(), new_id()
    log.append(early, [b"abc"])
    assert take(impressions, late) == []
    log.append(late, [b"def"])
    assert take(impressions, late) == [b"def"]
    assert take(impressions, early) == [b"abc"]


@pytest.mark.parametrize("recommendation_id", ["", "RID-x", "anything"])
def test_what_is_not_an_id_of_a_recommendation_has_no_impression(impressions, recommendation_id):
    assert take(impressions, recommendation_id) == []


def test_a_record_that_is_being_written_is_read_when_it_is_complete(tmp_path, open_log, impressions):
    log, name = open_log(), new_id()
    log.append(name, [b"abc", b"def"])
    (path,) = (tmp_path / "answers").iterdir()
    complete = path.read_bytes()
    path.write_bytes(complete[:-1])
    assert take(impressions, name) == []
    path.write_bytes(complete)
    assert take(impressions, name) == [b"abc", b"def"]


def test_size_of_the_files_is_bounded(tmp_path, open_log, impressions):
    log, ids = open_log(max_bytes=100), [new_id() for _ in range(50)]
    for name in ids:
        log.append(name, [b"abc"])
    files = list((tmp_path / "answers").iterdir())
    assert len(files) == 2
    assert all(path.stat().st_size <= 100 for path in files)
    assert take(impressions, ids[-1]) == [b"abc"]
    assert take(impressions, ids[0]) == []


def test_a_worker_that_starts_again_begins_anew(tmp_path, open_log, impressions):
    log, before, after = open_log(), new_id(), new_id()
    log.append(before, [b"abc"])
    assert take(impressions, new_id()) == []
    open_log().append(after, [b"def"])
    assert len(list((tmp_path / "answers").iterdir())) == 1
    assert take(impressions, after) == [b"def"]


def test_unknown_recommendations_open_a_file_once_and_no_file_that_has_not_grown(open_log, impressions):
    for number in range(4):
        open_log(f"worker-{number}").append(new_id(), [b"abc"])
    opened = []

    with watching_opens(opened):
        impressions.take([new_id() for _ in range(1000)])
        impressions.take([new_id() for _ in range(1000)])

    assert len(opened) == 4


@contextmanager
def watching_opens(opened):
    """Record which impression logs are opened, by an audit hook of the interpreter."""
    noting = True

    def note(event, arguments):
        if noting and event == "open" and "answers" in str(arguments[0]):
            opened.append(arguments[0])

    sys.addaudithook(note)  # it cannot be removed again
    try:
        yield
    finally:
        noting = False


def test_memory_of_the_reader_is_bounded(tmp_path, open_log):
    log, ids = open_log(), [new_id() for _ in range(100)]
    for name in ids:
        log.append(name, [b"abc", b"def"])
    impressions = ImpressionReader(tmp_path / "answers", key_bytes=3, max_bytes=60)

    assert impressions.take([ids[0]]) == {}

    assert set(impressions.take(ids)) == set(ids[-10:])


def test_impressions_count_once_when_the_map_grows_meanwhile(tmp_path):
    folder, ids = tmp_path / "history", [new_id() for _ in range(200)]
    prepare_history(folder, map_bytes=1 << 20)
    with closing(LmdbHistoryReader(folder, name="worker-0")) as reader:
        for name in ids:
            reader.log_impressions(name, GROUP, ["a"])
        reader._environment.close()
        writer = LmdbHistoryWriter(folder, max_events=5)
        # Far more than the map takes, so that the transaction is run again.
        events = [
            HistoryEvent(n, GROUP, "", f"u-{n}", "x" * 6000, "watch", "", n, recommendation_id=name)
            for n, name in enumerate(ids, 1)
        ]
        writer.append(events, next_offset=201)
        writer.close()

    with closing(LmdbHistoryReader(folder, name="worker-1")) as again:
        assert again.shown(GROUP, ["a"], after=Position(LEGACY_EPOCH, 0)) == [200]


def test_events_that_refer_to_a_recommendation_count_its_items_unless_they_list_others(tmp_path):
    folder, first, second = tmp_path / "history", new_id(), new_id()
    prepare_history(folder, map_bytes=1 << 20)
    reader = LmdbHistoryReader(folder, name="worker-0")
    reader.log_impressions(first, GROUP, ["a", "b"])
    reader.log_impressions(second, GROUP, ["a", "c"])
    # One process opens the store once, so the files of the worker are read before it opens them anew.
    reader._environment.close()
    writer = LmdbHistoryWriter(folder, max_events=5)
    events = [
        HistoryEvent(1, GROUP, "", "u", "a", "watch", "", 1, recommendation_id=first),
        HistoryEvent(2, GROUP, "", "u", "b", "watch", "", 2, recommendation_id=first),
        HistoryEvent(3, GROUP, "", "u", "c", "watch", "", 3, recommendation_id=second, impression=("d",)),
    ]
    writer.append(events, next_offset=4)
    writer.close()

    again = LmdbHistoryReader(folder, name="worker-1")

    assert again.shown(GROUP, ["a", "b", "c", "d"], after=Position(LEGACY_EPOCH, 0)) == [1, 1, 0, 1]
    # Trainings count what events list, so that is not counted again after one; recommendations they do not know.
    assert again.shown(GROUP, ["a", "b", "c", "d"], after=Position(LEGACY_EPOCH, 3)) == [1, 1, 0, 0]
    again.close()


def test_old_files_of_workers_that_are_no_more_go_when_the_runtime_starts(tmp_path):
    folder = tmp_path / "answers"
    prepare_history(tmp_path, map_bytes=1 << 20)
    logs = {name: ImpressionLog(folder, name) for name in ("worker-0", "worker-10", "worker-4", "worker-5")}
    first = new_id()
    logs["worker-0"].append(first, [b"a"])
    (old,) = folder.glob("worker-4.*")
    (kept,) = folder.glob("worker-0.*")
    (longer_name,) = folder.glob("worker-10.*")
    for path in (old, kept, longer_name):
        os.utime(path, (0, 0))

    prepare_history(tmp_path, map_bytes=1 << 20, workers=["worker-0", "worker-1", "worker-10"])

    # That of worker 5 is of today: the runtime of before may be about to end.
    assert {path.stem for path in folder.iterdir()} == {"worker-0", "worker-10", "worker-5"}
    assert take(ImpressionReader(folder, key_bytes=1), first) == [b"a"]
    for log in logs.values():
        log.close()
