"""`tailorbird doctor`."""

import resource
import socket
from pathlib import Path

import pytest

from cli import checks
from cli.system import Ports


def test_an_old_python_is_found():
    finding = checks.check_python((3, 10, 4))
    assert (finding.verdict, finding.detail) == ("failed", "3.10.4")


def test_a_package_of_another_version_is_named_with_both_versions():
    finding = checks.check_packages({"numpy": "1.0", "rich": "2.0"}, {"numpy": "2.0", "rich": "2.0"})
    assert (finding.verdict, finding.detail) == ("warning", "numpy 1.0 (pinned 2.0)")


def test_packages_that_are_not_pinned_are_ignored():
    assert checks.check_packages({"mine": "1.0"}, {"numpy": "2.0"}).verdict == "ok"


def test_a_missing_compiler_is_found_with_the_command_that_installs_one():
    finding = checks.check_compiler(lambda _: None)
    assert finding.verdict != "ok"
    assert "apt-get install g++" in finding.hint


def test_missing_headers_are_found(tmp_path):
    assert "Python's headers" in checks.check_compiler(headers=tmp_path / "Python.h").detail


def test_a_taken_port_fails():
    with socket.create_server(("127.0.0.1", 0)) as holder:
        ports = Ports(holder.getsockname()[1])
        assert checks.check_ports_free(ports, expected_busy=False).verdict == "failed"


def test_ports_of_the_running_system_are_accepted():
    with socket.create_server(("127.0.0.1", 0)) as holder:
        ports = Ports(holder.getsockname()[1])
        assert checks.check_ports_free(ports, expected_busy=True).verdict == "ok"


@pytest.mark.parametrize(("free_gib", "verdict"), [(0.5, "failed"), (3, "warning"), (50, "ok")])
def test_free_space_on_the_disk_is_checked(tmp_path, free_gib, verdict):
    usage = (0, 0, int(free_gib * (1 << 30)))
    assert checks.check_disk(tmp_path / "not-made-yet", usage=lambda _: usage).verdict == verdict


def test_a_clock_of_another_century_fails():
    finding = checks.check_clock(wall=lambda: 0.0, synchronised=lambda: True)
    assert (finding.verdict, finding.detail) == ("failed", "it shows 1970-01-01 00:00:00 UTC")


def test_a_clock_that_disagrees_with_the_file_system_fails():
    assert checks.check_clock(wall=lambda: 1_800_000_000.0 + 10**8, synchronised=lambda: True).verdict == "failed"


def test_a_clock_without_time_server_is_a_warning():
    assert checks.check_clock(synchronised=lambda: False).verdict == "warning"


def test_an_unknown_synchronisation_is_accepted():
    assert checks.check_clock(synchronised=lambda: None).verdict == "ok"


@pytest.mark.parametrize(("limit", "verdict"), [(256, "failed"), (4096, "ok"), (resource.RLIM_INFINITY, "ok")])
def test_the_limit_of_open_files_is_checked(limit, verdict):
    assert checks.check_open_files(limit).verdict == verdict


def test_the_pins_of_this_checkout_are_read():
    findings = list(checks.all_checks(Path(), Ports(41_000), endpoint_in_use=False, environ={}))
    packages = next(finding for finding in findings if finding.check == "packages")
    assert "no constraints.txt" not in packages.detail
