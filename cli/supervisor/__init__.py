"""Keeps the processes of one machine running: starts, watches, restarts and stops them, and merges their logs.

Own code, because what exists does other things: docs/adr/0002-own-supervisor.md.
"""

from cli.supervisor.output import GuardedOutput, Output
from cli.supervisor.policies import LivenessPolicy, RestartPolicy
from cli.supervisor.probes import Probe, grpc_probe, http_probe
from cli.supervisor.process import ProcessSpec, State
from cli.supervisor.supervisor import StartFailed, Supervisor

__all__ = [
    "GuardedOutput",
    "LivenessPolicy",
    "Output",
    "Probe",
    "ProcessSpec",
    "RestartPolicy",
    "StartFailed",
    "State",
    "Supervisor",
    "grpc_probe",
    "http_probe",
]
