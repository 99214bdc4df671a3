"""The secrets of a deployment."""

import stat

import pytest

from cli.deployment import Deployment
from common.auth import TokenVerifier
from common.errors import InvalidInput, Unauthenticated
from common.testing import wait_until


def refused(verifier, token):
    try:
        verifier.verify(token)
    except Unauthenticated as error:
        return "revoked" in error.message
    return False


def test_a_deployment_gives_each_process_its_own_folder(tmp_path):
    Deployment(tmp_path).refresh()
    assert {path.name for path in tmp_path.iterdir()} == {
        "issuer", "control_plane", "events_service", "runtime_service", "trainer", "gateway",
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "trainer").iterdir()} == {"public.pem", "token"}


def test_a_deployment_keeps_its_keys_and_renews_tokens_that_are_not_valid(tmp_path):
    Deployment(tmp_path).refresh()
    public = (tmp_path / "gateway" / "public.pem").read_bytes()
    (tmp_path / "gateway" / "token").write_text("expired")
    assert Deployment(tmp_path).refresh() == ["gateway"]
    assert (tmp_path / "gateway" / "public.pem").read_bytes() == public
    assert TokenVerifier(public).verify((tmp_path / "gateway" / "token").read_text()).role == "gateway"


def test_a_deployment_publishes_revocations_and_replaces_the_tokens_of_processes(tmp_path):
    deployment = Deployment(tmp_path)
    deployment.refresh()
    verifier = TokenVerifier.of_file(tmp_path / "control_plane" / "public.pem")
    before = (tmp_path / "trainer" / "token").read_text()
    deployment.keys.revocations().revoke_subject("trainer")
    wait_until(lambda: deployment.refresh() == ["trainer"])
    wait_until(lambda: refused(verifier, before))
    assert verifier.verify((tmp_path / "trainer" / "token").read_text()).role == "trainer"


def test_malformed_revocations_are_not_published_and_tokens_are_renewed(tmp_path):
    deployment = Deployment(tmp_path)
    deployment.refresh()
    (tmp_path / "issuer" / "revoked.json").write_bytes(b"{\xff")
    (tmp_path / "trainer" / "token").unlink()
    with pytest.raises(InvalidInput, match="revoke-token"):
        deployment.refresh()
    verifier = TokenVerifier.of_file(tmp_path / "gateway" / "public.pem")
    assert verifier.verify((tmp_path / "trainer" / "token").read_text()).role == "trainer"


def test_a_folder_that_cannot_be_written_does_not_affect_other_processes(tmp_path):
    (tmp_path / "control_plane").write_text("in the way")
    (tmp_path / "events_service").write_text("in the way")
    with pytest.raises(OSError):  # noqa: PT011 - which one is the system's choice
        Deployment(tmp_path).refresh()
    assert {path.name for path in (tmp_path / "gateway").iterdir()} == {"public.pem", "token"}


def test_secrets_of_a_deployment_can_be_read_by_their_owner_only(tmp_path):
    Deployment(tmp_path).refresh()
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "public.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
