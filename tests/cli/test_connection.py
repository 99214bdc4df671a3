"""Connections to control planes with an address."""

import pytest

from cli.connection import resolve_connection
from common.errors import InvalidInput
from common.settings import TlsFiles


def test_a_control_plane_by_its_address_needs_a_token(tmp_path):
    with pytest.raises(InvalidInput, match="`token-file`"):
        resolve_connection(tmp_path, target="127.0.0.1:7401", token_file=None, tls=TlsFiles())
    with pytest.raises(InvalidInput, match="cannot be read"):
        resolve_connection(tmp_path, target="127.0.0.1:7401", token_file=tmp_path / "none", tls=TlsFiles())


@pytest.mark.parametrize("host", ["control-plane", "10.0.0.7", "[2001:db8::1]"])
def test_no_token_goes_to_another_host_in_plain_text(tmp_path, host):
    (tmp_path / "token").write_text("secret")
    with pytest.raises(InvalidInput, match="`tls-ca-file`"):
        resolve_connection(tmp_path, target=f"{host}:7401", token_file=tmp_path / "token", tls=TlsFiles())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_plain_text_is_spoken_with_this_machine(tmp_path, host):
    (tmp_path / "token").write_text("secret\n")
    assert (
        resolve_connection(tmp_path, target=f"{host}:7401", token_file=tmp_path / "token", tls=TlsFiles()).token()
        == "secret"
    )


def test_a_token_that_is_replaced_is_used_by_the_next_call(tmp_path):
    (tmp_path / "token").write_text("first")
    token = resolve_connection(tmp_path, target="127.0.0.1:7401", token_file=tmp_path / "token", tls=TlsFiles()).token
    assert token() == "first"
    (tmp_path / "next").write_text("second")
    (tmp_path / "next").replace(tmp_path / "token")
    assert token() == "second"
