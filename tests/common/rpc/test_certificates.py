"""TLS between services: who has no certificate of the authority gets nowhere, and wrong files are explained."""

import shutil
import socket
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs

from cli.certificates import SERVICES, make_certificates
from common.clock import ManualClock
from common.errors import InvalidInput
from common.rpc import Service, channel
from common.rpc.certificates import _FollowedFiles, read_certificates, server_credentials
from common.settings import CallLimits, TlsFiles
from common.testing import serving
from gateway.protocol import CONTRACTS
from protos.tailorbird.runtime.v1 import runtime_service_pb2, runtime_service_pb2_grpc
from tests.gateway.conftest import ADD, RecordingServicer

DAY = timedelta(days=1)
RUNTIME = "personalize-runtime"
#: Who calls whom.
PAIRS = [
    ("gateway", "control-plane"), ("gateway", "events-service"), ("gateway", "runtime-service"),
    ("runtime-service", "control-plane"), ("runtime-service", "events-service"), ("events-service", "control-plane"),
    ("trainer", "control-plane"),
]  # fmt: skip


def files_in(folder):
    return TlsFiles(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("certificates")
    make_certificates(made, lifetime=DAY)
    return made


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("others"), lifetime=DAY)


@pytest.fixture
def servicer():
    return RecordingServicer(RUNTIME)


@pytest.fixture
def run_server(servicer):
    with ExitStack() as stack:
        service = Service(CONTRACTS[RUNTIME], ADD[RUNTIME], servicer)
        yield lambda tls, **options: stack.enter_context(serving([service], tls=tls, **options))


def call(server, tls):
    """Return the status of one call."""
    with channel(server.target, token=server.keys.token("gateway"), tls=tls) as opened:
        stub = runtime_service_pb2_grpc.RuntimeServiceStub(opened)
        try:
            stub.GetRecommendations(runtime_service_pb2.GetRecommendationsRequest(), timeout=60)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize(("caller", "callee"), PAIRS)
def test_each_service_proves_itself_to_those_that_it_calls(folder, run_server, servicer, caller, callee):
    server = run_server(files_in(folder / callee))

    assert call(server, files_in(folder / caller)) is grpc.StatusCode.OK
    assert len(servicer.requests) == 1


def test_who_proves_nothing_is_refused_before_any_handler_runs(folder, others, run_server, servicer):
    authority = folder / "ca.pem"
    server = run_server(files_in(folder / "control-plane"))
    refused = {
        "plain text": None,
        "no certificate": TlsFiles(ca_file=authority),
        "another authority's certificate": TlsFiles(others.cert_file, others.key_file, authority),
        "another authority for the server": others,
    }

    statuses = {name: call(server, tls) for name, tls in refused.items()}

    assert statuses == dict.fromkeys(refused, grpc.StatusCode.UNAVAILABLE)
    assert servicer.requests == []
    assert call(server, files_in(folder / "client")) is grpc.StatusCode.OK


def test_those_who_never_shake_hands_take_nobodys_place(folder, run_server):
    server = run_server(files_in(folder / "control-plane"), limits=CallLimits(max_calls=1), threads=1)
    host, _, port = server.target.partition(":")
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(socket.create_connection((host, int(port)), timeout=60))

        assert call(server, files_in(folder / "gateway")) is grpc.StatusCode.OK


def test_a_certificate_of_clients_is_good_for_no_server(folder, run_server):
    server = run_server(files_in(folder / "client"))

    assert call(server, files_in(folder / "gateway")) is grpc.StatusCode.UNAVAILABLE


def replaced(files, folder):
    """Replace a server's files by those of another folder, as a renewal does it: each at once."""
    for path in files:
        shutil.copyfile(folder / path.name, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)


def test_a_renewed_certificate_is_served_without_a_restart(folder, others, run_server, tmp_path):
    shutil.copytree(folder / "control-plane", tmp_path / "own")
    current = files_in(tmp_path / "own")
    server = run_server(current)
    assert call(server, files_in(folder / "gateway")) is grpc.StatusCode.OK

    # Half of the renewal: a certificate without its key. The one before goes on.
    with capture_logs() as logs:
        replaced([current.cert_file], others.cert_file.parent)
        assert call(server, files_in(folder / "gateway")) is grpc.StatusCode.OK
    assert [
        (entry["event"], "tls_key_file" in entry["cause"]) for entry in logs if "certificate" in entry["event"]
    ] == [("certificate_kept", True)]

    with capture_logs() as logs:
        replaced([current.key_file, current.ca_file], others.cert_file.parent)
        assert call(server, others) is grpc.StatusCode.OK
    assert "certificate_renewed" in {entry["event"] for entry in logs}
    assert call(server, files_in(folder / "gateway")) is grpc.StatusCode.UNAVAILABLE


def wrong_files(folder, others, tmp_path):
    """Return files of which one is wrong, by what the error says of it."""
    good = files_in(folder)
    text = tmp_path / "text.pem"
    text.write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
    locked = tmp_path / "locked.pem"
    key = serialization.load_pem_private_key(good.key_file.read_bytes(), None)
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    old = make_certificates(tmp_path / "old", lifetime=timedelta(minutes=-5))
    return {
        f"`tls_cert_file`: got {tmp_path / 'none'}, which cannot be read": TlsFiles(tmp_path / "none", good.key_file),
        f"`tls_cert_file`: got {text}, which holds no certificate": TlsFiles(text, good.key_file),
        f"`tls_cert_file`: got {old.cert_file}, which expired at": TlsFiles(old.cert_file, old.key_file),
        f"`tls_key_file`: got {tmp_path}, which cannot be read": TlsFiles(good.cert_file, tmp_path),
        f"`tls_key_file`: got {text}, which holds no private key": TlsFiles(good.cert_file, text),
        f"`tls_key_file`: got {locked}, which holds no private key": TlsFiles(good.cert_file, locked),
        f"`tls_key_file`: got {others.key_file}, which is another's": TlsFiles(good.cert_file, others.key_file),
        f"`tls_ca_file`: got {text}, which holds no certificate": TlsFiles(good.cert_file, good.key_file, text),
        f"`tls_ca_file`: got {old.ca_file}, which expired at": TlsFiles(good.cert_file, good.key_file, old.ca_file),
    }


def test_a_wrong_file_is_named_with_its_setting(folder, others, tmp_path):
    for words, tls in wrong_files(folder, others, tmp_path).items():
        with pytest.raises(InvalidInput) as server_side:
            server_credentials(tls)
        assert server_side.value.message.startswith(words)
        if tls.ca_file is not None:
            with pytest.raises(InvalidInput) as client_side:
                channel("127.0.0.1:1", token="", tls=tls)
            assert client_side.value.message == server_side.value.message


def test_a_certificate_of_tomorrow_is_not_valid_yet(folder):
    with pytest.raises(InvalidInput, match=r"`tls_cert_file`.* which is valid from .* on, want one that is valid now"):
        read_certificates(files_in(folder), now=datetime.now(UTC) - DAY)


def test_a_certificate_of_tomorrow_is_taken_when_its_time_comes(folder, others, tmp_path):
    """Without a change of the file; meanwhile it is read every ten seconds at most, and named once."""
    seconds, clock = [0.0], ManualClock(datetime.now(UTC))
    shutil.copytree(folder, tmp_path / "own")
    current = files_in(tmp_path / "own")
    followed = _FollowedFiles(current, clock=clock, monotonic=lambda: seconds[0])
    clock.advance(seconds=-3600)
    replaced([current.cert_file, current.key_file, current.ca_file], others.cert_file.parent)

    with capture_logs() as logs:
        for _ in range(3):
            assert followed.renewed() is None
            seconds[0] += 10
        clock.advance(seconds=3600)
        seconds[0] -= 1
        assert followed.renewed() is None
        seconds[0] += 1
        assert followed.renewed() is not None
        assert followed.renewed() is None

    assert [entry["event"] for entry in logs] == ["certificate_kept", "certificate_renewed"]


def test_an_authority_that_has_ended_takes_no_other_of_its_file_with_it(folder, tmp_path):
    ended = make_certificates(tmp_path / "ended", lifetime=timedelta(hours=1))
    both = tmp_path / "both.pem"
    both.write_bytes(ended.ca_file.read_bytes() + (folder / "ca.pem").read_bytes())
    tls = TlsFiles(folder / "cert.pem", folder / "key.pem", both)
    later = datetime.now(UTC) + timedelta(hours=2)

    assert read_certificates(tls, now=later).authority == both.read_bytes()
    both.write_bytes(ended.ca_file.read_bytes() * 2)
    with pytest.raises(InvalidInput, match=f"`tls_ca_file`: got {both}, which expired at"):
        read_certificates(tls, now=later)


def test_every_service_has_a_certificate_of_its_own(folder):
    chains = {read_certificates(files_in(folder / service)).pair[1] for service in SERVICES}

    assert len(chains) == len(SERVICES)
