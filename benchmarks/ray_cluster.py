"""A real Ray cluster on this machine: a head, and nodes of one processor each, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Self

import psutil

from common.errors import Unavailable

__all__ = ["ProcessorTime", "RayCluster", "ray_cluster"]

_STOP_SECONDS: Final = 60.0


class RayCluster:
    """A running cluster.

    Args:
        process: Of `ray_nodes`.

    Attributes:
        address: `HOST:PORT` of its head.
        nodes: Process ids of the nodes that work.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address: str = self._answer()
        self.nodes: set[int] = set()

    @property
    def process(self) -> psutil.Process:
        """The process that has started all others."""
        return psutil.Process(self._process.pid)

    def add_node(self) -> None:
        """Add a node of one processor."""
        self.nodes.add(self._ask("add", None))

    def kill_node_of(self, pid: int) -> None:
        """Kill the node that runs a process, with all that it runs."""
        [node] = self.nodes & {parent.pid for parent in psutil.Process(pid).parents()}
        self.kill_node(node)

    def kill_node(self, node: int) -> None:
        """Kill one of `nodes`, with all that it runs."""
        self.nodes.discard(node)
        self._ask("kill", node)

    def _ask(self, action: str, argument: int | None) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([action, argument]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Unavailable("Ray: got no cluster, want one; what it wrote to standard error says why")
        return json.loads(line)


class ProcessorTime(AbstractContextManager["ProcessorTime"]):
    """Adds up what a process and all below it take, also those that end: a raylet lets the kernel forget its workers.

    They are looked at again and again while the block runs, so what one took after the last look is not counted.

    Args:
        process: The uppermost.
        look_seconds: Pause between two looks.
    """

    def __init__(self, process: psutil.Process, *, look_seconds: float = 0.2) -> None:
        self._process = process
        self._look_seconds = look_seconds
        # Equal ones have one process id and began at one time.
        self._taken: dict[psutil.Process, float] = {}
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="processor-time", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def seconds(self) -> float:
        """Return what all have taken so far, each without what its children have."""
        with self._lock:
            self._look()
            return sum(self._taken.values())

    def _run(self) -> None:
        while not self._is_over.wait(self._look_seconds):
            with self._lock:
                self._look()

    def _look(self) -> None:
        try:
            processes = [self._process, *self._process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for process in processes:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            self._taken[process] = float(times.user + times.system)


@contextmanager
def ray_cluster(nodes: int) -> Iterator[RayCluster]:
    """Run a cluster for as long as the block runs.

    Args:
        nodes: Of one processor each, beside the head.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.ray_nodes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            cluster = RayCluster(process)
            for _ in range(nodes):
                cluster.add_node()
            yield cluster
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()  # Ray has a process that ends the others then
