"""The ring of recent answers: what is found again, by other processes too, and what is left after an erasure."""

from __future__ import annotations

import multiprocessing
import uuid

import pytest

from common.positions import Position
from runtime_service.recorded_answers.ring import AnswerRing, RecordedAnswer, erase_answers, find_answer, keep_rings

ANSWER = RecordedAnswer(
    "GetRecommendations", "d-1", "artifacts/a", Position(2**63 - 1, 17), 1_700_000_000_123, b"who asks", b"what came"
)


def new_id() -> str:
    return f"RID-{uuid.uuid4()}"


@pytest.fixture
def ring(tmp_path):
    made = AnswerRing(tmp_path, "worker-0", max_bytes=4096)
    yield made
    made.close()


def test_an_answer_comes_back_whole(tmp_path, ring):
    first, second = new_id(), new_id()
    ring.record(first, ANSWER)
    ring.record(second, ANSWER._replace(request=b"", response=b"\x00" * 100))

    assert find_answer(tmp_path, first) == ANSWER
    assert find_answer(tmp_path, second) == ANSWER._replace(request=b"", response=b"\x00" * 100)


@pytest.mark.parametrize("name", ["RID-4956efa7-9823-4c22-8e8e-8b2504ecea82", "RID-x", "", "0" * 36, "RID-" + "0" * 32])
def test_what_was_not_recorded_is_not_found(tmp_path, ring, name):
    ring.record(new_id(), ANSWER)

    assert find_answer(tmp_path, name) is None


def test_the_newest_answers_are_kept(tmp_path, ring):
    names = [new_id() for _ in range(100)]
    for place, name in enumerate(names):
        ring.record(name, ANSWER._replace(request=b"r" * (place % 50)))

    is_kept = [find_answer(tmp_path, name) is not None for name in names]
    assert 15 < sum(is_kept) < 40
    assert all(is_kept[-15:])
    assert not any(is_kept[:40])


def test_an_answer_larger_than_the_file_is_left_out(tmp_path, ring):
    ring.record(large := new_id(), ANSWER._replace(response=b"x" * 5000))

    assert find_answer(tmp_path, large) is None


def test_a_damaged_answer_is_none(tmp_path, ring):
    ring.record(name := new_id(), ANSWER)
    path = tmp_path / "worker-0.ring"
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(content.index(b"who asks"))
        file.write(b"W")

    assert find_answer(tmp_path, name) is None


def test_files_are_their_owners_and_begin_anew(tmp_path, ring):
    ring.record(name := new_id(), ANSWER)
    path = tmp_path / "worker-0.ring"
    assert (path.stat().st_mode & 0o777, path.stat().st_size) == (0o600, 4096)

    AnswerRing(tmp_path, "worker-0", max_bytes=4096).close()

    assert find_answer(tmp_path, name) is None


def test_nothing_is_recorded_in_a_ring_without_room(tmp_path):
    ring = AnswerRing(tmp_path, "worker-0", max_bytes=0)
    ring.record(name := new_id(), ANSWER)
    ring.close()

    assert find_answer(tmp_path, name) is None
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_any_answer_is_left_after_an_erasure(tmp_path, ring):
    names = [new_id() for _ in range(60)]
    for name in names:
        ring.record(name, ANSWER)

    erase_answers(tmp_path)

    assert (tmp_path / "worker-0.ring").read_bytes() == bytes(4096)
    ring.record(later := new_id(), ANSWER)
    assert find_answer(tmp_path, later) == ANSWER


def test_a_file_that_cannot_be_erased_keeps_no_other_one(tmp_path, ring):
    ring.record(new_id(), ANSWER)
    (tmp_path / "another.ring").mkdir()

    with pytest.raises(IsADirectoryError):
        erase_answers(tmp_path)

    assert (tmp_path / "worker-0.ring").read_bytes() == bytes(4096)


def test_no_user_is_left_of_a_worker_that_is_not_started_again(tmp_path, ring):
    AnswerRing(tmp_path, "worker-1", max_bytes=4096).close()

    keep_rings(tmp_path, workers=["worker-0"])

    assert [path.name for path in tmp_path.iterdir()] == ["worker-0.ring"]


def record_many(folder, name, names, begun):
    """Record answers over and over, more than the ring has room for, until there are no more."""
    ring = AnswerRing(folder, name, max_bytes=64 << 10)
    begun.set()
    for place, recommendation_id in enumerate(names):
        ring.record(recommendation_id, ANSWER._replace(millis=place, response=str(place).encode() * 200))
    ring.close()


def test_what_other_processes_overwrite_meanwhile_is_found_whole_or_not_at_all(tmp_path):
    context = multiprocessing.get_context("spawn")
    begun, names = context.Event(), [new_id() for _ in range(20_000)]
    process = context.Process(target=record_many, args=(tmp_path, "worker-0", names, begun))
    process.start()
    try:
        assert begun.wait(60)
        while process.is_alive():
            for place in range(0, len(names), 500):
                answer = find_answer(tmp_path, names[place])
                if answer is not None:
                    assert answer == ANSWER._replace(millis=place, response=str(place).encode() * 200)
    finally:
        process.join(60)

    assert process.exitcode == 0
    last = len(names) - 1
    assert find_answer(tmp_path, names[last]) == ANSWER._replace(millis=last, response=str(last).encode() * 200)
