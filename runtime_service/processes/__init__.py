"""The processes of one runtime: a parent that forks and watches them, and knows nothing of what they do.

gRPC does not survive a fork, so the parent never has a channel, a server or a thread of its own: a worker that died
can be forked again at any time.
"""

from common.process.heartbeat import Beat
from runtime_service.processes.port import shared_port
from runtime_service.processes.worker_pool import Patience, WorkerPool, WorkerSpec

__all__ = ["Beat", "Patience", "WorkerPool", "WorkerSpec", "shared_port"]
