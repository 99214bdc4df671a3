"""The process that makes a Ray cluster for `ray_cluster`: `python -m benchmarks.ray_nodes`.

It does what the lines of its standard input say, each an action and its argument as JSON, replies to each with a line,
and takes the cluster down when its input ends.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Final

# Read when Ray is loaded: nothing is sent to its makers.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from ray.cluster_utils import Cluster

#: Of all nodes: loopback, by an address that Ray does not exchange for that of the machine as it does with 127.0.0.1.
_NODE: Final[dict[str, Any]] = {
    "node_ip_address": "127.0.0.2",
    "object_store_memory": 80 << 20,
    "include_log_monitor": False,
}
#: The end of a node is noticed within a second, not within half a minute.
_HEALTH: Final = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 300,
    "health_check_failure_threshold": 3,
}
#: Until Ray shows the nodes that there are.
_NODES_SECONDS: Final = 120.0


def main() -> None:
    """Make a cluster whose head does no work, and change it as is asked."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # where Ray's own lines do no harm
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": _HEALTH, **_NODE}
    cluster: Any = Cluster(initialize_head=True, head_node_args=head)
    nodes: dict[int, Any] = {}
    replies.write(json.dumps(cluster.address) + "\n")
    for line in sys.stdin:
        action, argument = json.loads(line)
        if action == "add":
            node = cluster.add_node(num_cpus=1, **_NODE)
            [raylet] = [process.process.pid for process in node.all_processes["raylet"]]
            nodes[raylet] = node
            # Ray counts the processors of a node that was killed until it notices its end.
            cluster.wait_for_nodes(_NODES_SECONDS)
            replies.write(json.dumps(raylet) + "\n")
        else:
            cluster.remove_node(nodes.pop(argument), allow_graceful=False)
            replies.write("null\n")
    cluster.shutdown()


if __name__ == "__main__":
    main()
