"""The processes of one machine: `common.process` keeps them running, here their logs are merged and their end ordered.

Own code, because what exists does other things: docs/adr/0002-own-supervisor.md.
"""

from cli.supervisor.output import GuardedOutput, Output
from cli.supervisor.probes import grpc_probe, http_probe
from cli.supervisor.supervisor import StartFailed, Supervisor

__all__ = ["GuardedOutput", "Output", "StartFailed", "Supervisor", "grpc_probe", "http_probe"]
