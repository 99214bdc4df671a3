"""Fixtures of the tests of servers and channels."""

from __future__ import annotations

import logging

import pytest
from structlog.testing import capture_logs

from tests.common.rpc.calling import Trackers, bounded


@pytest.fixture
def trackers():
    made = Trackers()
    yield made
    made.let_go.set()


@pytest.fixture
def running(trackers):
    with bounded(trackers) as made:
        yield made


def of_two_loops(record):
    """Tell whether grpc.aio complains of two event loops in one process, as a client and a server have here.

    Both loops are told that events are there and one of them reads, so that the other finds nothing: an error of this
    one kind, which asyncio logs and nobody suffers from. Processes of ours have one loop.
    """
    kind = record.exc_info[0] if record.exc_info else None
    return record.name == "asyncio" and kind is BlockingIOError and "PollerCompletionQueue" in record.getMessage()


@pytest.fixture
def written(caplog):
    """Return the lines at INFO and above: our own as dictionaries, and those of gRPC's library as texts."""

    def texts():
        return [record.getMessage() for record in caplog.records if not of_two_loops(record)]

    with caplog.at_level(logging.INFO), capture_logs() as lines:
        yield lambda: [*(line for line in lines if line["log_level"] != "debug"), *texts()]
