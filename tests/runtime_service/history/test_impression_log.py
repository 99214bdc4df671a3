"""Answers are told once, by whichever worker of the host gave them, and forgotten without a trace."""

from __future__ import annotations

import sys
import uuid
from contextlib import closing, contextmanager

import pytest

from common.positions import LEGACY_EPOCH, Position
from runtime_service.history import LoggedEvent
from runtime_service.history.impression_log import Answers, ImpressionLog
from runtime_service.history.lmdb import LmdbHistoryReader, LmdbHistoryWriter, prepare_history
from tests.runtime_service.world import GROUP


def new_id() -> str:
    return f"RID-{uuid.uuid4()}"


def taken(answers, recommendation_id):
    return answers.take([recommendation_id]).get(recommendation_id, [])


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
def answers(tmp_path):
    return Answers(tmp_path / "answers", key_bytes=3)


def test_an_answer_is_told_once_whichever_worker_gave_it(open_log, answers):
    first, second = new_id(), new_id()
    open_log("worker-0").note(first, [b"abc", b"def"])
    open_log("worker-1").note(second, [b"ghi"])

    assert taken(answers, second) == [b"ghi"]
    assert taken(answers, first) == [b"abc", b"def"]
    assert taken(answers, first) == []


def test_answers_that_are_noted_later_are_found_too(open_log, answers):
    log, early, late = open_log(), new_id(), new_id()
    log.note(early, [b"abc"])
    assert taken(answers, late) == []
    log.note(late, [b"def"])
    assert taken(answers, late) == [b"def"]
    assert taken(answers, early) == [b"abc"]


@pytest.mark.parametrize("recommendation_id", ["", "RID-x", "anything"])
def test_what_is_no_id_of_an_answer_tells_nothing(answers, recommendation_id):
    assert taken(answers, recommendation_id) == []


def test_a_record_that_is_being_written_is_read_when_it_is_whole(tmp_path, open_log, answers):
    log, known = open_log(), new_id()
    log.note(known, [b"abc", b"def"])
    (path,) = (tmp_path / "answers").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert taken(answers, known) == []
    path.write_bytes(whole)
    assert taken(answers, known) == [b"abc", b"def"]


def test_files_take_no_more_room_than_they_may(tmp_path, open_log, answers):
    log, ids = open_log(max_bytes=100), [new_id() for _ in range(50)]
    for name in ids:
        log.note(name, [b"abc"])
    files = list((tmp_path / "answers").iterdir())
    assert len(files) == 2
    assert all(path.stat().st_size <= 100 for path in files)
    assert taken(answers, ids[-1]) == [b"abc"]
    assert taken(answers, ids[0]) == []


def test_a_worker_that_starts_again_begins_anew(tmp_path, open_log, answers):
    log, before, after = open_log(), new_id(), new_id()
    log.note(before, [b"abc"])
    assert taken(answers, new_id()) == []
    open_log().note(after, [b"def"])
    assert len(list((tmp_path / "answers").iterdir())) == 1
    assert taken(answers, after) == [b"def"]


def test_many_answers_that_nobody_knows_open_a_file_once_and_no_file_that_has_not_grown(open_log, answers):
    for number in range(4):
        open_log(f"worker-{number}").note(new_id(), [b"abc"])
    opened = []

    with watching_opens(opened):
        answers.take([new_id() for _ in range(1000)])
        answers.take([new_id() for _ in range(1000)])

    assert len(opened) == 4


@contextmanager
def watching_opens(opened):
    """Note which files of answers are opened, as the interpreter's audit tells it."""
    noting = True

    def note(event, arguments):
        if noting and event == "open" and "answers" in str(arguments[0]):
            opened.append(arguments[0])

    sys.addaudithook(note)  # it cannot be taken away again
    try:
        yield
    finally:
        noting = False


def test_answers_take_no_more_memory_than_they_may(tmp_path, open_log):
    log, ids = open_log(), [new_id() for _ in range(100)]
    for name in ids:
        log.note(name, [b"abc", b"def"])
    answers = Answers(tmp_path / "answers", key_bytes=3, max_bytes=60)

    assert answers.take([ids[0]]) == {}

    assert set(answers.take(ids)) == set(ids[-10:])


def test_answers_count_once_when_the_map_grows_meanwhile(tmp_path):
    folder, ids = tmp_path / "history", [new_id() for _ in range(200)]
    prepare_history(folder, map_bytes=1 << 20)
    with closing(LmdbHistoryReader(folder, name="worker-0")) as reader:
        for name in ids:
            reader.note_answer(name, GROUP, ["a"])
        reader._environment.close()
        writer = LmdbHistoryWriter(folder, max_events=5)
        # Far more than the map takes, so that the transaction is run again.
        events = [
            LoggedEvent(n, GROUP, "", f"u-{n}", "x" * 6000, "watch", "", n, recommendation_id=name)
            for n, name in enumerate(ids, 1)
        ]
        writer.append(events, next_offset=201)
        writer.close()

    with closing(LmdbHistoryReader(folder, name="worker-1")) as again:
        assert again.shown(GROUP, ["a"], after=Position(LEGACY_EPOCH, 0)) == [200]


def test_events_that_refer_to_an_answer_count_what_it_showed_unless_they_list_something_else(tmp_path):
    folder, first, second = tmp_path / "history", new_id(), new_id()
    prepare_history(folder, map_bytes=1 << 20)
    reader = LmdbHistoryReader(folder, name="worker-0")
    reader.note_answer(first, GROUP, ["a", "b"])
    reader.note_answer(second, GROUP, ["a", "c"])
    # One process opens the store once, so the files of the worker are read before it opens them anew.
    reader._environment.close()
    writer = LmdbHistoryWriter(folder, max_events=5)
    events = [
        LoggedEvent(1, GROUP, "", "u", "a", "watch", "", 1, recommendation_id=first),
        LoggedEvent(2, GROUP, "", "u", "b", "watch", "", 2, recommendation_id=first),
        LoggedEvent(3, GROUP, "", "u", "c", "watch", "", 3, recommendation_id=second, shown=("d",)),
    ]
    writer.append(events, next_offset=4)
    writer.close()

    again = LmdbHistoryReader(folder, name="worker-1")

    assert again.shown(GROUP, ["a", "b", "c", "d"], after=Position(LEGACY_EPOCH, 0)) == [1, 1, 0, 1]
    # Trainings count what events list, so that is not counted again after one; what answers showed they cannot count.
    assert again.shown(GROUP, ["a", "b", "c", "d"], after=Position(LEGACY_EPOCH, 3)) == [1, 1, 0, 0]
    again.close()
