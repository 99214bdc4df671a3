"""A log whose place is full, gone, or slow."""

import os
from contextlib import closing, suppress
from pathlib import Path

import pytest

from cli.log_writer import LogWriter
from common.testing import wait_until


def render_loss(lost, why):
    return f"lost {lost}: {why}\n".encode()


@pytest.fixture
def pipe():
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w") as stream:
        yield read_end, stream
    with suppress(OSError):  # tests of a reader that is gone have closed it
        os.close(read_end)


def test_lines_are_written_in_their_order(tmp_path):
    with (tmp_path / "log").open("w") as stream, closing(LogWriter(stream, render_loss=render_loss)) as writer:
        for place in range(1000):
            writer.write(b"%d\n" % place)
        assert writer.flush(seconds=20)
    assert (tmp_path / "log").read_text().split() == [str(place) for place in range(1000)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_full_disk_costs_lines_and_nothing_else():
    with Path("/dev/full").open("w") as stream, closing(LogWriter(stream, render_loss=render_loss)) as writer:
        writer.write(b"one\n")
        writer.write(b"two\n")
        assert writer.flush(seconds=20)
        assert writer.lost == 2


def test_a_missing_reader_costs_lines_and_nothing_else(pipe):
    read_end, stream = pipe
    os.close(read_end)
    with closing(LogWriter(stream, render_loss=render_loss)) as writer:
        writer.write(b"one\n")
        assert writer.flush(seconds=20)
        assert writer.lost == 1


def drained(read_end, seen, writer):
    with suppress(BlockingIOError):
        seen.extend(os.read(read_end, 1 << 20))
    return writer.flush(seconds=0)


def test_a_slow_reader_is_not_waited_for_and_sees_how_much_it_missed(pipe):
    read_end, stream = pipe
    os.set_blocking(read_end, False)
    seen = bytearray()
    with closing(LogWriter(stream, render_loss=render_loss)) as writer:
        for _ in range(40):
            writer.write(b"x" * 1024 * 1024 + b"\n")
        wait_until(lambda: drained(read_end, seen, writer), seconds=60, every=0)
        writer.write(b"the next\n")
        wait_until(lambda: drained(read_end, seen, writer), seconds=60, every=0)
    drained(read_end, seen, writer)
    lines = bytes(seen).splitlines()
    # The loss is told in one line, or in several where a line passed in between.
    missed = [int(line.split()[1].rstrip(b":")) for line in lines if line.startswith(b"lost ")]
    assert sum(missed) > 0
    assert sum(missed) + sum(line.startswith(b"x") for line in lines) == 40
    assert all(line.endswith(b": written too slowly") for line in lines if line.startswith(b"lost "))
    assert seen.endswith(b"x\nthe next\n")


def test_a_non_blocking_stream_loses_nothing(pipe):
    read_end, stream = pipe
    os.set_blocking(stream.fileno(), False)
    os.set_blocking(read_end, False)
    seen = bytearray()
    with closing(LogWriter(stream, render_loss=render_loss)) as writer:
        writer.write(b"x" * 300_000 + b"\n")
        wait_until(lambda: drained(read_end, seen, writer), seconds=60, every=0.01)
    drained(read_end, seen, writer)
    assert bytes(seen) == b"x" * 300_000 + b"\n"
