"""A real Ray cluster on this machine: a head and nodes of one processor each, in processes of their own."""

import json
import subprocess
import sys
from contextlib import contextmanager

import psutil
import pytest

from common.testing import wait_until

#: Makes the cluster and changes it as the lines of its standard input say; ends with it.
PROGRAM = """
import json, os, sys
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
from ray.cluster_utils import Cluster
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
# Loopback, by an address that Ray does not exchange for that of the machine as it does with 127.0.0.1.
common = dict(node_ip_address="127.0.0.2", object_store_memory=80 << 20, include_log_monitor=False)
# The death of a node is noticed within a second instead of within half a minute.
system = dict(health_check_period_ms=300, health_check_failure_threshold=2, health_check_initial_delay_ms=0)
head = dict(num_cpus=0, include_dashboard=False, _system_config=system, **common)
cluster = Cluster(initialize_head=True, head_node_args=head)
nodes = {}
answers.write(json.dumps(cluster.address) + "\\n")
for line in sys.stdin:
    action, argument = json.loads(line)
    if action == "add":
        node = cluster.add_node(num_cpus=1, **common)
        [raylet] = [process.process.pid for process in node.all_processes["raylet"]]
        nodes[raylet] = node
        answers.write(json.dumps(raylet) + "\\n")
    else:
        cluster.remove_node(nodes.pop(argument), allow_graceful=False)
        answers.write("null\\n")
cluster.shutdown()
"""


class RayCluster:
    """A running cluster.

    Args:
        process: Of the program.
    """

    def __init__(self, process):
        self._process = process
        self.address = self._answer()
        self.nodes = set()

    def add_node(self):
        """Add a node of one processor."""
        self.nodes.add(self._ask("add", None))

    def kill_node_of(self, pid):
        """Kill the node that runs a process, with everything on it."""
        [node] = self.nodes & {parent.pid for parent in psutil.Process(pid).parents()}
        self.nodes.discard(node)
        self._ask("kill", node)

    def _ask(self, action, argument):
        self._process.stdin.write(json.dumps([action, argument]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        assert line, "the cluster could not be started; its output is above"
        return json.loads(line)


@contextmanager
def ray_cluster():
    """Run a cluster with two nodes for as long as the block runs, or skip the tests where there is no Ray."""
    pytest.importorskip("ray", reason="Ray has no package for this machine")
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        cluster = RayCluster(process)
        cluster.add_node()
        cluster.add_node()
        yield cluster
        process.stdin.close()
        wait_until(lambda: process.poll() is not None, seconds=60)
