"""What is said of a peer that cannot be reached."""

import pytest

from common.errors import Unavailable
from common.process.backoff import BackoffPolicy
from common.process.contact import PeerContact

AWAY = Unavailable("connection refused")


class Seconds:
    """A clock that is set."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def seconds():
    return Seconds()


def test_a_peer_that_is_not_there_yet_is_not_missed(seconds, log_lines):
    contact = PeerContact(quiet_seconds=10, monotonic=seconds)
    contact.failed("unreachable", AWAY)
    contact.succeeded("reached")
    assert [line["level"] for line in log_lines()] == []


def test_a_peer_that_does_not_come_is_missed_once(seconds, log_lines):
    contact = PeerContact(quiet_seconds=10, monotonic=seconds)
    for seconds.now in (101.0, 111.0, 112.0):
        contact.failed("unreachable", AWAY)
    contact.succeeded("reached")
    assert [line["level"] for line in log_lines()] == ["warning", "info"]


def test_a_peer_that_goes_is_missed_at_once_each_time(seconds, log_lines):
    contact = PeerContact(quiet_seconds=10, monotonic=seconds)
    contact.succeeded("reached")
    for _ in range(2):
        contact.failed("unreachable", AWAY)
        contact.succeeded("reached")
    assert [line["level"] for line in log_lines()] == ["warning", "info", "warning", "info"]


def test_pauses_grow_until_the_peer_is_reached(seconds):
    contact = PeerContact(backoff=BackoffPolicy(first_seconds=1.0, longest_seconds=3.0), monotonic=seconds)
    pauses = [contact.failed("unreachable", AWAY) for _ in range(3)]
    contact.succeeded("reached")
    assert (pauses, contact.failed("unreachable", AWAY)) == ([1.0, 2.0, 3.0], 1.0)


def test_a_defect_is_logged_also_while_the_peer_is_missed(log_lines):
    contact = PeerContact(quiet_seconds=0.0)
    for error in (AWAY, KeyError("revision"), AWAY, KeyError("revision")):
        contact.failed("not_followed", error)
    assert [line["level"] for line in log_lines()] == ["warning", "error"]


def test_a_fault_of_ours_is_told_at_once_with_its_trace_and_not_again(seconds, log_lines):
    contact = PeerContact(quiet_seconds=10, monotonic=seconds)
    for _ in range(2):
        contact.failed("not_followed", KeyError("revision"))
    (line,) = log_lines()
    assert (line["event"], line["level"]) == ("not_followed", "error")
    assert "KeyError" in line["exception"]
