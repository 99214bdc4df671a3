"""What every implementation of `Compute` must do; each has one short subclass."""

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
    """Tests of the interface, with as few runs as possible; `compute` is a fixture of the module, with two places."""

    def test_each_part_is_read_once_when_there_is_a_place_and_has_one_result(self, compute):
        parts, results = ReadOnce([3, 1, 0, 2, 4]), []
        for place, data in compute.run(tasks.large, parts, check=no_check):
            results.append((place, len(data) >> 20))
            assert len(parts.reads) <= len(results) - 1 + 2
        assert parts.reads == list(range(5))
        assert sorted(results) == [(0, 3), (1, 1), (2, 0), (3, 2), (4, 4)]

    def test_no_parts_have_no_results(self, compute):
        assert list(compute.run(tasks.square, [], check=no_check)) == []

    def test_a_part_that_kills_its_process_each_time_ends_the_run(self, compute, tmp_path):
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

    def test_a_check_that_raises_kills_what_runs(self, compute, tmp_path):
        def stop_when_all_run():
            if all((tmp_path / f"{name}-1").exists() for name in "ab"):
                raise Stopped

        with pytest.raises(Stopped):
            list(compute.run(tasks.hang, [(str(tmp_path), name) for name in "abc"], check=stop_when_all_run))
        assert_gone(tmp_path.glob("?-1"))
        assert not (tmp_path / "c-1").exists()

    def test_a_task_that_cannot_be_imported_is_refused(self, compute):
        with pytest.raises(ValueError, match=r"`task`: got .*lambda.*, want a function of a module"):
            compute.run(lambda part: part, [1], check=no_check)


def killing_at_first(folder, kill):
    """Return a check that calls `kill` with the process of the first attempt at part `b`, once that runs."""
    killed = []

    def check():
        note = folder / "b-1"
        if not killed and note.exists():
            killed.append(int(note.read_text()))
            kill(killed[0])

    return check


def assert_each_once(results, folder):
    """Assert that the parts `a` to `d` have one result each though `b` was begun twice."""
    assert sorted(results) == [(0, "a"), (1, "b"), (2, "c"), (3, "d")]
    assert (folder / "b-2").exists()
    assert not (folder / "b-3").exists()


def assert_gone(notes):
    """Wait until the processes that left their ids in files are gone."""
    pids = [int(path.read_text()) for path in notes]
    assert pids
    wait_until(lambda: not any(is_running(pid) for pid in pids))


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
