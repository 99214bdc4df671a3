"""Contracts on one side, rules on the other."""

from runtime_service.servicers.recommendations import RuntimeServicer

__all__ = ["RUNTIME_SERVICER"]

#: For the page of operations.
RUNTIME_SERVICER = RuntimeServicer
