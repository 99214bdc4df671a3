"""Which of several processes consumes a log: one, another when it is gone, and two at most believe it for a moment."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from itertools import count

import nats
import pytest
from structlog.testing import capture_logs

from common.errors import ResourceInUse
from common.testing import wait_until
from events_service.log.jetstream import JetStreamEventLog
from events_service.log.moving import move_to_sqlite
from events_service.log.stream_target import StreamTarget
from tests.events_service.nats import running_nats
from tests.events_service.samples import entries

NUMBERS = count()
SECONDS = 1.0


@pytest.fixture(scope="module")
def server():
    with running_nats() as running:
        yield running


@pytest.fixture
def target(server):
    return StreamTarget(server.url, stream=f"leased{next(NUMBERS)}")


@pytest.fixture
def open_log(target, tmp_path, clock):
    logs = []

    def opened(name, **settings):
        settings = {"lease_seconds": SECONDS, **settings}
        logs.append(JetStreamEventLog(target, tmp_path / name, clock=clock, **settings))
        return logs[-1]

    yield opened
    for log in logs:
        log.close()


@contextmanager
def standing_still(log):
    """Let a process's loop stand still, as a machine does that is paused."""
    began, ending = threading.Event(), threading.Event()

    def stand() -> None:
        began.set()
        ending.wait()

    log._loop.call_soon_threadsafe(stand)
    began.wait()
    try:
        yield
    finally:
        ending.set()


def test_one_of_several_consumes_and_another_one_after_it_has_stopped(open_log):
    logs = [open_log(name) for name in "abc"]
    wait_until(lambda: any(log.consumes() for log in logs))
    (holder,) = [log for log in logs if log.consumes()]
    rest = [log for log in logs if log is not holder]
    holder.append(entries(1), seconds=20)

    holder.close()

    wait_until(lambda: any(log.consumes() for log in rest))
    (second,) = [log for log in rest if log.consumes()]
    # It has read all that the one before had written.
    assert second.bounds().end == 2


def test_one_that_stands_still_loses_the_lease_and_knows_it(open_log):
    first = open_log("a")
    wait_until(first.consumes)
    second = open_log("b")
    with capture_logs() as lines, standing_still(first):
        wait_until(second.consumes)
        assert not first.consumes()
    with capture_logs() as lines:
        wait_until(lambda: any(line["event"] == "consumption_lost" for line in lines))

    assert second.consumes()
    assert not first.consumes()
    second.close()
    wait_until(first.consumes)


def test_one_whose_clock_stands_still_too_believes_in_a_lease_that_another_one_has(open_log):
    first = open_log("a", monotonic=lambda: 0.0)
    wait_until(first.consumes)
    second = open_log("b")
    with standing_still(first):
        wait_until(second.consumes)

        assert first.consumes()  # which is why tables are written by their position


def test_nobody_consumes_while_the_server_is_away_and_one_does_when_it_is_back(server, open_log):
    logs = [open_log("a"), open_log("b")]
    wait_until(lambda: any(log.consumes() for log in logs))
    server.stop()
    try:
        wait_until(lambda: not any(log.consumes() for log in logs))
    finally:
        server.start()

    wait_until(lambda: any(log.consumes() for log in logs))


def test_bucket_that_is_deleted_is_made_again(target, open_log):
    log = open_log("a")
    wait_until(log.consumes)

    asyncio.run(delete_bucket(target))

    wait_until(lambda: not log.consumes())
    wait_until(log.consumes)


async def delete_bucket(target):
    client = await nats.connect(target.url)
    await client.jetstream().delete_key_value(f"{target.stream}_lease")
    await client.close()


def test_log_that_a_running_service_consumes_is_not_moved_away(target, open_log, tmp_path):
    log = open_log("a")
    wait_until(log.consumes)
    log.append(entries(1), seconds=20)

    with pytest.raises(ResourceInUse, match="want all of them stopped"):
        move_to_sqlite(tmp_path / "c", target, progress=lambda *_: None, lease_seconds=20)

    assert log.append(entries(2), seconds=20) == (2,)
    log.close()
    moved = move_to_sqlite(tmp_path / "c", target, progress=lambda *_: None, lease_seconds=20)
    assert moved.records == 2
