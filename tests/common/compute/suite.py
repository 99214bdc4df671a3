"""What every implementation of `Compute` must do; each has one short subclass."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from common.compute import MAX_ATTEMPTS
from common.errors import InvalidInput, Unavailable
from common.testing import wait_until
from tests.common.compute import tasks


def no_check():
    """Of a run that nobody cancels."""


class Stopped(Exception):
    """What a check raises."""


class ReadOnce:
    """Parts that note when they are read."""

    def __init__(self, parts):
        self.parts, self.reads = parts, []

    def __len__(self):
        return len(self.parts)

    def __getitem__(self, place):
        self.reads.append(place)
        return self.parts[place]


class ComputeSuite:
    """Tests of the interface; `compute` is a fixture of the subclass, with two places."""

    def test_each_part_has_one_result(self, compute):
        results = list(compute.run(tasks.square, range(7), check=no_check))
        assert sorted(results) == [(place, place * place) for place in range(7)]

    def test_no_parts_have_no_results(self, compute):
        assert list(compute.run(tasks.square, [], check=no_check)) == []

    def test_parts_are_read_once_in_order_and_only_when_there_is_a_place(self, compute):
        parts = ReadOnce(range(6))
        taken = 0
        for taken, _ in enumerate(compute.run(tasks.square, parts, check=no_check), 1):
            assert len(parts.reads) <= taken - 1 + compute.parallelism
        assert taken == 6
        assert parts.reads == list(range(6))

    def test_results_may_be_larger_than_a_pipe(self, compute):
        assert [len(data) for _, data in compute.run(tasks.large, [3], check=no_check)] == [3 << 20]

    def test_a_process_that_is_killed_costs_a_repetition_of_its_part(self, compute, tmp_path):
        parts = [(str(tmp_path), name) for name in "abcd"]
        kills = []

        def kill_once():
            if not kills and (tmp_path / "b-1").exists() and (text := (tmp_path / "b-1").read_text()):
                kills.append(int(text))
                os.kill(kills[0], signal.SIGKILL)

        results = list(compute.run(tasks.hang_at_first, parts, check=kill_once))
        assert sorted(results) == [(0, "a"), (1, "b"), (2, "c"), (3, "d")]
        assert len(kills) == 1
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a-1", "b-1", "b-2", "c-1", "d-1"]

    def test_a_part_that_kills_its_process_ends_the_run(self, compute, tmp_path):
        with pytest.raises(Unavailable, match=f"part 0: .* {MAX_ATTEMPTS} times.*memory"):
            list(compute.run(tasks.die, [(str(tmp_path), "a")], check=no_check))
        assert len(list(tmp_path.iterdir())) == MAX_ATTEMPTS

    def test_the_error_of_a_part_is_raised_with_its_traceback(self, compute):
        with pytest.raises(InvalidInput, match="got 1, want another") as caught:
            list(compute.run(tasks.fail, range(3), check=no_check))
        assert caught.value.message == "`part`: got 1, want another"
        notes = "\n".join(caught.value.__notes__)
        assert "in fail" in notes
        assert "in part 1 of 3" in notes

    def test_an_error_that_cannot_be_copied_is_described(self, compute):
        with pytest.raises(RuntimeError) as caught:
            list(compute.run(tasks.fail_uncopied, [0], check=no_check))
        assert str(caught.value) == "Uncopied: code 7"
        assert "in fail_uncopied" in "\n".join(caught.value.__notes__)

    def test_a_check_that_raises_kills_what_runs(self, compute, tmp_path):
        def stop_when_all_run():
            if all((tmp_path / f"{name}-1").exists() for name in "ab"):
                raise Stopped

        with pytest.raises(Stopped):
            list(compute.run(tasks.hang, [(str(tmp_path), name) for name in "abc"], check=stop_when_all_run))
        assert_gone(tmp_path)
        assert not (tmp_path / "c-1").exists()

    def test_closing_the_iterator_kills_what_runs(self, compute, tmp_path):
        results = compute.run(tasks.hang_at_first, [(str(tmp_path), name) for name in "ab"], check=no_check)
        assert next(results) == (0, "a")
        wait_until((tmp_path / "b-1").exists)
        results.close()
        assert_gone(tmp_path)

    def test_a_task_that_cannot_be_imported_is_refused(self, compute):
        with pytest.raises(ValueError, match=r"`task`: got .*lambda.*, want a function of a module"):
            compute.run(lambda part: part, [1], check=no_check)


def assert_gone(folder):
    """Wait until the processes that left their ids in files are gone, children too."""
    pids = [int(path.read_text()) for path in Path(folder).iterdir()]
    assert pids
    wait_until(lambda: not any(is_running(pid) for pid in pids))


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
