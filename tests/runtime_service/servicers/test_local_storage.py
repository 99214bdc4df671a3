"""What a runtime keeps on its host's disk, as a worker tells operators."""

from __future__ import annotations

import grpc
import pytest

from common.rpc import Service
from common.testing import serving
from protos.tailorbird.internal.v1 import local_storage_pb2, local_storage_pb2_grpc
from runtime_service.servicers.local_storage import SERVICE, LocalFolders, LocalStorageServicer
from tests.runtime_service.servicers.wire import KEYS, as_role


@pytest.fixture
def describe(tmp_path):
    copies, histories = tmp_path / "copies", tmp_path / "histories"
    (copies / "artifacts" / "films-1" / "files-0").mkdir(parents=True)
    (copies / "artifacts" / "films-1" / "files-0" / "model").write_bytes(b"x" * 100_000)
    (copies / "artifacts" / "films-1" / "manifest.json").write_bytes(b"{}")
    histories.mkdir()
    (histories / "data.mdb").write_bytes(b"x" * 50_000)
    service = Service(
        SERVICE,
        local_storage_pb2_grpc.add_LocalStorageServiceServicer_to_server,
        LocalStorageServicer(LocalFolders(copies, histories)),
    )
    with serving([service], keys=KEYS) as running, grpc.insecure_channel(running.target) as channel:
        stub = local_storage_pb2_grpc.LocalStorageServiceStub(channel)
        request = local_storage_pb2.DescribeLocalStorageRequest()
        yield lambda role: stub.DescribeLocalStorage(request, metadata=as_role(role), timeout=60)


def test_histories_and_each_copy_are_told_to_operators(describe):
    histories, copy = describe("operator").parts

    assert (histories.name, histories.files) == ("histories", 1)
    assert 50_000 <= histories.bytes < 100_000
    assert (copy.name, copy.files) == ("copy of artifacts/films-1", 2)
    assert 100_000 <= copy.bytes < 200_000


@pytest.mark.parametrize("role", ["client", "gateway", "trainer"])
def test_nobody_else_is_told(describe, role):
    with pytest.raises(grpc.RpcError) as caught:
        describe(role)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
