"""The process `python -m gateway`: starts from settings alone, says what is wrong with them, stops cleanly."""

import json
import os
import signal
import subprocess
import sys

import httpx
import pytest

from common.access_keys import AccessKeys


def environment(tmp_path, **settings):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TAILORBIRD_")}
    token_file = tmp_path / "token"
    token_file.write_text("abc")
    given = {
        "TOKEN_FILE": str(token_file),
        "ACCESS_KEYS_FILE": str(tmp_path / "access_keys.json"),
        "LISTEN": "127.0.0.1:0",
        **settings,
    }
    return {**kept, **{f"TAILORBIRD_{name}": value for name, value in given.items()}}


def start(tmp_path, **settings):
    return subprocess.Popen(
        [sys.executable, "-m", "gateway"],
        env=environment(tmp_path, **settings),
        stderr=subprocess.PIPE,
        text=True,
    )


def serving_port(process):
    for line in process.stderr:
        if (entry := json.loads(line))["event"] == "serving":
            return entry["port"]
    raise AssertionError("the process ended before it served")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal(tmp_path, unused_target, number):
    AccessKeys(tmp_path / "access_keys.json").create("test")
    targets = dict.fromkeys(("CONTROL_PLANE", "EVENTS_SERVICE", "RUNTIME_SERVICE"), unused_target)
    process = start(tmp_path, **targets)
    try:
        response = httpx.get(f"http://127.0.0.1:{serving_port(process)}/health", timeout=30)
        process.send_signal(number)
        _, log = process.communicate(timeout=30)
    finally:
        process.kill()

    assert response.status_code == 503  # no service behind it
    assert process.returncode == 0, log
    assert '"event": "stopped"' in log


def test_keys_that_others_may_read_stop_it_at_the_start(tmp_path):
    keys = AccessKeys(tmp_path / "access_keys.json")
    keys.create("test")
    keys.path.chmod(0o644)

    _, log = start(tmp_path).communicate(timeout=30)

    assert "want 0600" in log


def test_an_address_that_is_taken_stops_it_at_the_start(tmp_path, unused_target):
    process = start(tmp_path, LISTEN=unused_target)
    _, log = process.communicate(timeout=30)

    assert process.returncode != 0
    assert f"got {unused_target}, which cannot be bound" in log


def test_a_missing_token_stops_it_at_the_start(tmp_path):
    process = start(tmp_path, TOKEN_FILE=str(tmp_path / "nothing"))
    _, log = process.communicate(timeout=30)

    assert process.returncode != 0
    assert "`token_file`: got" in log


def test_a_certificate_that_cannot_be_read_stops_it_at_the_start(tmp_path):
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("none")
    files = {"TLS_CERT_FILE": str(tmp_path / "cert.pem"), "TLS_KEY_FILE": str(tmp_path / "key.pem")}
    process = start(tmp_path, **files)
    _, log = process.communicate(timeout=30)

    assert process.returncode != 0
    assert "gateway: `tls_cert_file`: got" in log
