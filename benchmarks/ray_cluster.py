"""A real Ray cluster on this machine: a head, and nodes of one processor each, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psutil

from common.errors import Unavailable

__all__ = ["RayCluster", "processor_seconds", "ray_cluster"]

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

    def processor_seconds(self) -> float:
        """Return what all processes of the cluster have taken so far."""
        head = psutil.Process(self._process.pid)
        return sum(processor_seconds(process) for process in [head, *head.children(recursive=True)])

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


def processor_seconds(process: psutil.Process) -> float:
    """Return what a process and its children that have ended have taken so far; 0 for one that has ended."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


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
