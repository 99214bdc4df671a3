"""What is said of a peer that cannot be reached."""

import io
import json

import pytest

from common.contact import PeerContact
from common.errors import Unavailable
from common.logs import configure_logging

AWAY = Unavailable("connection refused")


class Seconds:
    """A clock that is set."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def seconds():
    return Seconds()


@pytest.fixture
def warnings():
    stream = io.StringIO()
    configure_logging("test", stream=stream)
    return lambda: [json.loads(line)["level"] for line in stream.getvalue().splitlines()]


def test_a_peer_that_is_not_there_yet_is_not_missed(seconds, warnings):
    contact = PeerContact(quiet_seconds=10, monotonic=seconds)
    contact.failed("unreachable", AWAY)
    contact.succeeded("reached")
    assert warnings() == []


def test_a_peer_that_does_not_come_is_missed_once(seconds, warnings):
    contact = PeerContact(quiet_seconds=10, monotonic=seconds)
    for seconds.now in (101.0, 111.0, 112.0):
        contact.failed("unreachable", AWAY)
    contact.succeeded("reached")
    assert warnings() == ["warning", "info"]


def test_a_peer_that_goes_is_missed_at_once_each_time(seconds, warnings):
    contact = PeerContact(quiet_seconds=10, monotonic=seconds)
    contact.succeeded("reached")
    for _ in range(2):
        contact.failed("unreachable", AWAY)
        contact.succeeded("reached")
    assert warnings() == ["warning", "info", "warning", "info"]
