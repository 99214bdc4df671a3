"""With a certificate and its key the endpoint speaks HTTPS."""

import ipaddress
import socket
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import SSLError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from common.settings import TlsFiles
from gateway.connections import ConnectionLimits
from tests.gateway.conftest import running_gateway


@pytest.fixture
def certificate(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = TlsFiles(tmp_path / "cert.pem", tmp_path / "key.pem")
    files.cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files.key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def client(endpoint, url, *, verify):
    return boto3.session.Session().client(
        "personalize",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=endpoint.key.access_key_id,
        aws_secret_access_key=endpoint.key.secret_access_key,
        verify=verify,
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_boto3_calls_over_https(endpoint, rpc_keys, certificate):
    targets = endpoint.targets
    with running_gateway(endpoint.access_keys, targets, token=rpc_keys.token("gateway"), tls=certificate) as url:
        assert url.startswith("https://")
        trusting, doubting = (client(endpoint, url, verify=trust) for trust in (str(certificate.cert_file), True))
        assert trusting.list_recipes()["recipes"] == []
        with pytest.raises(SSLError):
            doubting.list_recipes()
        trusting.close()
        doubting.close()


def test_clients_that_never_shake_hands_make_room_for_those_that_do(endpoint, rpc_keys, certificate):
    limits = ConnectionLimits(max_connections=20, header_seconds=60)
    token = rpc_keys.token("gateway")
    with (
        running_gateway(
            endpoint.access_keys, endpoint.targets, token=token, tls=certificate, connections=limits
        ) as url,
        ExitStack() as stack,
    ):
        place = ("127.0.0.1", urlsplit(url).port)
        silent = [stack.enter_context(socket.create_connection(place, timeout=30)) for _ in range(60)]
        made = client(endpoint, url, verify=str(certificate.cert_file))
        stack.callback(made.close)

        assert made.list_recipes()["recipes"] == []
        assert silent[0].recv(1) == b""


def test_what_is_no_handshake_is_cut_off_and_the_next_client_served(endpoint, rpc_keys, certificate):
    with running_gateway(
        endpoint.access_keys, endpoint.targets, token=rpc_keys.token("gateway"), tls=certificate
    ) as url:
        with socket.create_connection(("127.0.0.1", urlsplit(url).port), timeout=30) as plain:
            plain.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b"".join(iter(lambda: plain.recv(4096), b""))
        made = client(endpoint, url, verify=str(certificate.cert_file))
        answer = made.list_recipes()
        made.close()

    assert b"HTTP" not in received
    assert answer["recipes"] == []
