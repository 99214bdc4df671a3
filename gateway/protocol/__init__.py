"""The two wire protocols, awsJson 1.1 and rest-json, compiled from botocore's service models and our contracts."""

from gateway.protocol.faults import AWS_JSON, CONTENT_TYPES, REST_JSON, Fault, fault
from gateway.protocol.operations import ADDITIONS, CONTRACTS, MODELS, Operation, load_operations

__all__ = [
    "ADDITIONS",
    "AWS_JSON",
    "CONTENT_TYPES",
    "CONTRACTS",
    "MODELS",
    "REST_JSON",
    "Fault",
    "Operation",
    "fault",
    "load_operations",
]
