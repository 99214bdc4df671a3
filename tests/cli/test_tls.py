"""Certificates: tested before a start, and used by everything that speaks to a system that has them."""

from datetime import timedelta

import pytest

from cli.app import Env, app, run
from cli.certificates import make_certificates
from cli.checks import check_tls
from cli.tls import check_certificates, tls_files
from common.errors import InvalidInput
from common.settings import TlsFiles

DAY = timedelta(days=1)


def variables(files):
    return {
        "TAILORBIRD_TLS_CERT_FILE": str(files.cert_file),
        "TAILORBIRD_TLS_KEY_FILE": str(files.key_file),
        "TAILORBIRD_TLS_CA_FILE": str(files.ca_file),
    }


@pytest.fixture
def files(tmp_path):
    return make_certificates(tmp_path / "good", lifetime=DAY)


@pytest.fixture
def other_files(tmp_path):
    return make_certificates(tmp_path / "others", lifetime=DAY)


def test_a_complete_set_is_accepted(files):
    check_certificates(files)


def test_another_authority_is_refused(files, other_files):
    with pytest.raises(InvalidInput, match="refuse each other"):
        check_certificates(TlsFiles(files.cert_file, files.key_file, other_files.ca_file))


def test_a_key_of_another_certificate_is_refused(files, other_files):
    with pytest.raises(InvalidInput, match="refuse each other"):
        check_certificates(TlsFiles(files.cert_file, other_files.key_file, files.ca_file))


def test_a_certificate_for_another_host_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"127\.0\.0\.1"):
        check_certificates(make_certificates(tmp_path / "far", hosts=["shop.example"], lifetime=DAY))


def test_an_expired_certificate_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="expired"):
        check_certificates(make_certificates(tmp_path / "old", lifetime=timedelta(minutes=-5)))


def test_a_file_that_is_missing_is_refused(files, tmp_path):
    with pytest.raises(InvalidInput, match="No such file"):
        check_certificates(TlsFiles(tmp_path / "none", files.key_file, files.ca_file))


@pytest.mark.parametrize("missing", ["TAILORBIRD_TLS_CERT_FILE", "TAILORBIRD_TLS_KEY_FILE", "TAILORBIRD_TLS_CA_FILE"])
@pytest.mark.parametrize("command", ["up", "demo"])
def test_an_incomplete_set_is_refused_in_one_line_that_names_what_is_missing(files, tmp_path, capsys, command, missing):
    environ = variables(files)
    del environ[missing]
    assert run(app, Env(environ), [command, "--data-dir", str(tmp_path / "data")]) == 1
    shown = capsys.readouterr()
    assert missing in "".join((shown.out + shown.err).split())


def test_the_doctor_tests_the_certificates(files, tmp_path):
    far = make_certificates(tmp_path / "far", hosts=["shop.example"], lifetime=DAY)
    half = {"TAILORBIRD_TLS_CERT_FILE": str(files.cert_file)}
    verdicts = [check_tls(environ).verdict for environ in ({}, variables(files), variables(far), half)]
    assert verdicts == ["ok", "ok", "failed", "failed"]


def test_up_refuses_certificates_that_do_not_work_before_anything_starts(tmp_path, capsys):
    far = make_certificates(tmp_path / "far", hosts=["shop.example"], lifetime=DAY)
    assert run(app, Env(variables(far)), ["up", "--data-dir", str(tmp_path / "data")]) == 1
    assert "127.0.0.1" in capsys.readouterr().err


def test_no_certificates_mean_plain_text():
    assert tls_files({"TAILORBIRD_TLS_CERT_FILE": ""}) is None
