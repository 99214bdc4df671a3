"""Certificates to develop with."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

from cli.app import Env, app, run
from cli.certificates import SERVICES, make_certificates
from common.errors import InvalidInput

DAY = timedelta(days=1)


@pytest.fixture
def files(tmp_path):
    return make_certificates(tmp_path / "good", lifetime=DAY)


def certificate(folder):
    return x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())


def extension(folder, kind):
    return certificate(folder).extensions.get_extension_for_class(kind).value


def hosts(folder):
    names = extension(folder, x509.SubjectAlternativeName)
    return set(names.get_values_for_type(x509.DNSName)) | {
        str(address) for address in names.get_values_for_type(x509.IPAddress)
    }


def test_private_keys_can_be_read_by_their_owner_only(files):
    keys = list(files.key_file.parent.rglob("key.pem"))

    assert len(keys) == 1 + len(SERVICES) + 1
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}


def test_certificates_are_never_overwritten(files):
    with pytest.raises(InvalidInput, match="already"):
        make_certificates(files.cert_file.parent, lifetime=DAY)


@pytest.mark.parametrize("name", ["key.pem", "ca.pem", "gateway/key.pem", "trainer/cert.pem", "client/ca.pem"])
def test_no_part_of_another_set_is_overwritten(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("another's")

    with pytest.raises(InvalidInput, match="already"):
        make_certificates(tmp_path, lifetime=DAY)
    assert [path.name for path in tmp_path.rglob("*.pem")] == [(tmp_path / name).name]
    assert (tmp_path / name).read_text() == "another's"


def test_each_process_has_a_certificate_for_both_sides_of_a_connection(files):
    folder = files.cert_file.parent
    for service in SERVICES:
        assert hosts(folder / service) == {"localhost", "127.0.0.1", "::1", service}
        assert set(extension(folder / service, x509.ExtendedKeyUsage)) == {Usage.SERVER_AUTH, Usage.CLIENT_AUTH}
        usage = extension(folder / service, x509.KeyUsage)
        assert (usage.digital_signature, usage.key_cert_sign) == (True, False)
        assert extension(folder / service, x509.BasicConstraints).ca is False
        certificate(folder / service).verify_directly_issued_by(
            x509.load_pem_x509_certificate(files.ca_file.read_bytes())
        )
    assert hosts(folder) == {"localhost", "127.0.0.1", "::1", *SERVICES}


def test_a_caller_has_a_certificate_for_clients_only(files):
    folder = files.cert_file.parent / "client"

    assert list(extension(folder, x509.ExtendedKeyUsage)) == [Usage.CLIENT_AUTH]
    with pytest.raises(x509.ExtensionNotFound):
        hosts(folder)


def test_the_authority_signs_nothing_else(files):
    authority = x509.load_pem_x509_certificate(files.ca_file.read_bytes())

    usage = authority.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    written = "".join(path.read_text() for path in files.cert_file.parent.rglob("*.pem"))
    assert written.count("PRIVATE KEY-----\n") == 2 * (1 + len(SERVICES) + 1)  # begin and end of each key


def test_the_command_takes_names_and_a_life_time(tmp_path, capsys):
    arguments = ["certs", str(tmp_path / "set"), "--host", "shop.example", "--host", "10.0.0.7", "--days", "3"]

    assert run(app, Env({}), arguments) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"export TAILORBIRD_TLS_{name}_FILE={tmp_path / 'set' / file}"
        for name, file in (("CERT", "cert.pem"), ("KEY", "key.pem"), ("CA", "ca.pem"))
    ]
    assert hosts(tmp_path / "set" / "gateway") == {"shop.example", "10.0.0.7"}
    end = certificate(tmp_path / "set" / "trainer").not_valid_after_utc
    assert timedelta(days=2, hours=23) < end - datetime.now(UTC) <= timedelta(days=3)
