"""Asks its parent for parts as the cluster has places for them, and hands results back as they come."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Final

import ray
from ray.exceptions import OutOfMemoryError, RayError, WorkerCrashedError

from common.compute import MAX_ATTEMPTS
from common.compute.messages import DONE, LOST, NEXT, NO_CLUSTER
from common.compute.tasks import perform
from common.logs import configure_logging
from common.process.lifeline import end_with_input

__all__ = ["main"]

#: How often to look whether the cluster has grown or shrunk.
_LOOK_SECONDS: Final = 1.0
_REACH_SECONDS: Final = 5.0


def main(descriptor: int, address: str, *, most_parts: int | None) -> None:
    """Do a run.

    Args:
        descriptor: Of the socket to the parent.
        address: `HOST:PORT` of the cluster.
        most_parts: How many are done at a time at most; None for any number.
    """
    end_with_input()
    # What Ray prints must not mix with what the parent may write on its standard output.
    os.dup2(2, 1)
    configure_logging("compute")
    with Connection(descriptor) as connection, suppress(EOFError, BrokenPipeError):
        try:
            _require_listener(address)
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, namespace="tailorbird")
        except (RayError, OSError, RuntimeError, ValueError) as error:
            connection.send((NO_CLUSTER, f"{type(error).__name__}: {error}"))
            return
        _Driver(connection, most_parts).run(connection.recv_bytes())
        ray.shutdown()


def _require_listener(address: str) -> None:
    """Return if something listens there; Ray itself would try for minutes.

    Raises:
        OSError: Nothing does.
    """
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_SECONDS).close()


class _Driver:
    """Hands parts on.

    Args:
        connection: To the parent.
        most_parts: How many are done at a time at most; None for any number.
    """

    def __init__(self, connection: Connection[Any, Any], most_parts: int | None) -> None:
        self._connection = connection
        self._most_parts = most_parts
        self._remote = ray.remote(num_cpus=1, max_retries=MAX_ATTEMPTS - 1)(perform)
        #: Place of the part that each result is of.
        self._pending: dict[ray.ObjectRef[bytes], int] = {}

    def run(self, task: bytes) -> None:
        """Do parts until there are no more.

        Args:
            task: Pickled; machines of the cluster import it.
        """
        has_more = True
        while has_more or self._pending:
            places = self._places()
            while has_more and len(self._pending) < places:
                self._connection.send((NEXT,))
                has_more = (assignment := self._connection.recv()) is not None
                if has_more:
                    place, part = assignment
                    self._pending[self._remote.remote(task, part)] = place
            if self._pending:
                ready, _ = ray.wait(list(self._pending), num_returns=1, timeout=_LOOK_SECONDS)
                for reference in ready:
                    self._hand_back(reference)

    def _places(self) -> int:
        """Return how many parts the cluster has places for: one at least, which then waits for a machine to come."""
        processors = ray.cluster_resources().get("CPU", 0.0)  # type: ignore[no-untyped-call]  # Ray has it untyped
        places = max(1, int(processors))
        return places if self._most_parts is None else min(places, self._most_parts)

    def _hand_back(self, reference: ray.ObjectRef[bytes]) -> None:
        place = self._pending.pop(reference)
        try:
            self._connection.send((DONE, place, ray.get(reference)))
        except RayError as error:
            how = " ".join(str(error).split("\n", 1)[0].split())
            # A worker that crashes was, most often, killed by the kernel.
            memory = isinstance(error, OutOfMemoryError | WorkerCrashedError)
            self._connection.send((LOST, place, f"{type(error).__name__}: {how}", memory))
