"""Certificates for a trial."""

from datetime import timedelta

import pytest

from cli.certificates import make_certificates
from common.errors import InvalidInput

DAY = timedelta(days=1)


@pytest.fixture
def files(tmp_path):
    return make_certificates(tmp_path / "good", lifetime=DAY)


def test_the_private_key_can_be_read_by_its_owner_only(files):
    assert files.key_file.stat().st_mode & 0o077 == 0


def test_certificates_are_never_overwritten(files):
    with pytest.raises(InvalidInput, match="already"):
        make_certificates(files.cert_file.parent, lifetime=DAY)
