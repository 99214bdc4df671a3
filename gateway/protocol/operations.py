"""The operations of Personalize's three services, each with its compiled decoder and encoder.

What exists is read from botocore's service models and from the contracts; nothing is listed by hand. Operations of
Tailorbird's own are in a model beside botocore's, in the form in which botocore itself adds to models, so that a
client that has the file calls them like all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from gateway.protocol.requests import request_decoder
from gateway.protocol.responses import response_encoder
from protos.tailorbird.control.v1 import control_plane_service_pb2
from protos.tailorbird.events.v1 import events_service_pb2
from protos.tailorbird.runtime.v1 import explanation_service_pb2, runtime_service_pb2

__all__ = ["ADDITIONS", "CONTRACTS", "MODELS", "Operation", "load_operations", "service_model"]

#: The contract of each of botocore's services.
CONTRACTS: Final[Mapping[str, ServiceDescriptor]] = {
    "personalize": control_plane_service_pb2.DESCRIPTOR.services_by_name["ControlPlaneService"],
    "personalize-events": events_service_pb2.DESCRIPTOR.services_by_name["EventsService"],
    "personalize-runtime": runtime_service_pb2.DESCRIPTOR.services_by_name["RuntimeService"],
}
#: Contracts of our own operations, by the service whose model they are added to.
ADDITIONS: Final[Mapping[str, ServiceDescriptor]] = {
    "personalize-runtime": explanation_service_pb2.DESCRIPTOR.services_by_name["ExplanationService"],
}
#: Folder of the models with our own operations.
MODELS: Final = Path(__file__).resolve().parents[1] / "models"
#: Where a service's model names no status for an error, as awsJson never does.
_DEFAULT_ERROR_STATUS = 400


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API, with the contract's method that answers it.

    Attributes:
        name: As in the API, e.g. `PutEvents`.
        service: botocore's name of the service.
        protocol: `json` (one address, the operation in a header) or `rest-json` (an address each).
        http_method: e.g. `POST`.
        path: Address, e.g. `/events`.
        target: Value of the `X-Amz-Target` header, for protocol `json`.
        method: Its rpc.
        decode: Body of the request → gRPC request.
        encode: gRPC response → body of the response.
        errors: HTTP statuses of the errors in the service's model.
    """

    name: str
    service: str
    protocol: str
    http_method: str
    path: str
    target: str
    method: MethodDescriptor
    decode: Callable[[bytes], Message]
    encode: Callable[[Any], bytes]
    errors: Mapping[str, int]


def service_model(service: str) -> ServiceModel:
    """Return botocore's own model of a service with ours; models in a user's home directory do not count."""
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH, str(MODELS)], include_default_search_paths=False)
    return ServiceModel(loader.load_service_model(service, "service-2"), service_name=service)


def load_operations() -> list[Operation]:
    """Compile every operation that both the models and the contracts have."""
    return [operation for service in CONTRACTS for operation in _operations(service)]


def _operations(service: str) -> Iterator[Operation]:
    model = service_model(service)
    errors = {
        shape.error_code: shape.metadata.get("error", {}).get("httpStatusCode", _DEFAULT_ERROR_STATUS)
        for shape in model.error_shapes
    }
    contracts = [CONTRACTS[service], *([ADDITIONS[service]] if service in ADDITIONS else [])]
    methods = {method.name: method for contract in contracts for method in contract.methods}
    for name in model.operation_names:
        # The installed botocore may know operations that this version's contract does not have yet.
        if name in methods:
            yield _operation(model.operation_model(name), methods[name], service=service, errors=errors)


def _operation(
    model: OperationModel, method: MethodDescriptor, *, service: str, errors: Mapping[str, int]
) -> Operation:
    return Operation(
        name=model.name,
        service=service,
        protocol=model.service_model.metadata["protocol"],
        http_method=model.http["method"],
        path=model.http["requestUri"],
        target=f"{model.metadata.get('targetPrefix', '')}.{model.name}",
        method=method,
        decode=request_decoder(model.input_shape, method.input_type),
        encode=response_encoder(model.output_shape, method.output_type),
        errors=errors,
    )
