"""The checks of `tailorbird doctor`: each finds one thing that would break the system, and says how to mend it.

Checks never change anything. Their arguments are what they check, so that tests can pass any values.
"""

from __future__ import annotations

import importlib.util
import re
import resource
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from subprocess import TimeoutExpired, run
from typing import Final, Literal

from cli.system import PROCESSES, Ports, is_free
from cli.tls import check_certificates, tls_files
from common.errors import InvalidInput

__all__ = ["Finding", "all_checks"]

Verdict = Literal["ok", "warning", "failed"]

_CONSTRAINTS: Final = Path(__file__).resolve().parents[1] / "constraints.txt"
_MIN_PYTHON: Final = (3, 11)
_MIN_FREE_BYTES: Final = 1 << 30
_LOW_FREE_BYTES: Final = 5 << 30
_MIN_OPEN_FILES: Final = 1024
_CLOCK_TOLERANCE_SECONDS: Final = 2.0
#: This program was written then, so an earlier year shows that the clock is wrong.
_EARLIEST_YEAR: Final = 2025
_LATEST_YEAR: Final = 2100


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        check: Name of the check.
        verdict: `ok`, `warning` or `failed`; with a warning the system works.
        detail: What the check found.
        hint: What to do; empty when nothing has to be done.
    """

    check: str
    verdict: Verdict
    detail: str
    hint: str = ""


def all_checks(data_dir: Path, ports: Ports, *, endpoint_in_use: bool, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Run every check.

    Args:
        data_dir: The data directory, which need not exist.
        ports: Ports that `up` would use.
        endpoint_in_use: Whether the system already runs in this data directory, so that its ports may be taken.
        environ: The environment that `up` would be started with.
    """
    yield check_python(sys.version_info[:3])
    yield check_packages(_installed_versions(), _pinned_versions())
    yield check_compiler()
    yield check_protobuf()
    yield check_jax()
    yield check_ports_free(ports, expected_busy=endpoint_in_use)
    yield check_disk(data_dir)
    yield check_clock()
    yield check_open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield check_tls(environ)


def check_python(version: tuple[int, ...]) -> Finding:
    """Check that the interpreter is new enough."""
    shown = ".".join(map(str, version))
    if version[:2] >= _MIN_PYTHON:
        return Finding("Python", "ok", shown)
    return Finding("Python", "failed", shown, "install Python 3.11 or newer and make a new virtual environment with it")


def check_packages(installed: Mapping[str, str], pinned: Mapping[str, str]) -> Finding:
    """Check that the installed packages have the versions that the constraints pin.

    Args:
        installed: Installed version by normalised name.
        pinned: Pinned version by normalised name; empty when there are no constraints.
    """
    if not pinned:
        return Finding("packages", "ok", f"{len(installed)} installed; no constraints.txt beside this installation")
    different = {name: version for name, version in installed.items() if pinned.get(name, version) != version}
    if not different:
        return Finding("packages", "ok", f"{len(installed.keys() & pinned.keys())} are as pinned")
    shown = ", ".join(f"{name} {version} (pinned {pinned[name]})" for name, version in sorted(different.items()))
    return Finding("packages", "warning", shown, "pip install -c constraints.txt -e '.[train,demo]'")


def check_compiler(which: Callable[[str], str | None] = shutil.which, *, headers: Path | None = None) -> Finding:
    """Check that Annoy is installed, or can be built."""
    compiler = next((path for name in ("c++", "g++", "clang++") if (path := which(name))), None)
    include = headers if headers is not None else Path(sysconfig.get_path("include")) / "Python.h"
    missing = [
        name for name, there in (("a C++ compiler", compiler), ("Python's headers", include.exists())) if not there
    ]
    if not missing:
        return Finding("C++ compiler", "ok", str(compiler))
    hint = "Debian or Ubuntu: apt-get install g++ python3-dev; macOS: xcode-select --install"
    built = importlib.util.find_spec("annoy") is not None
    detail = f"{' and '.join(missing)} not found" + ("; Annoy is already built" if built else "; Annoy cannot be built")
    return Finding("C++ compiler", "warning" if built else "failed", detail, hint)


def check_protobuf() -> Finding:
    """Check that protobuf uses its C library: the pure Python implementation is many times slower."""
    from google.protobuf.internal import api_implementation

    kind = api_implementation.Type()
    if kind == "upb":
        return Finding("protobuf", "ok", f"{metadata.version('protobuf')}, upb")
    return Finding("protobuf", "failed", f"implementation {kind}", "unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION")


def check_jax() -> Finding:
    """Check that JAX is installed, which trainings need."""
    if importlib.util.find_spec("jax") is None:
        return Finding("JAX", "warning", "not installed: no training here", "pip install -c constraints.txt '.[train]'")
    # It is not imported, which would take seconds and memory.
    return Finding("JAX", "ok", metadata.version("jax"))


def check_ports_free(ports: Ports, *, expected_busy: bool) -> Finding:
    """Check that the ports of `up` are free, or held by the running system."""
    shown = f"{ports.base} to {ports.base + len(PROCESSES) - 1}"
    taken = [str(ports.port(process)) for process in PROCESSES if not is_free(ports.port(process))]
    if not taken:
        return Finding("ports", "ok", f"{shown} are free")
    if expected_busy:
        return Finding("ports", "ok", f"{shown} are held by the running system")
    return Finding("ports", "failed", f"{', '.join(taken)} taken", "stop what holds them, or use --port-base")


def check_disk(data_dir: Path, *, usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage) -> Finding:
    """Check that the disk of the data directory has space and can be written."""
    folder = next(path for path in [data_dir.resolve(), *data_dir.resolve().parents] if path.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding("disk", "failed", f"{folder} cannot be written: {error.strerror}", "use another --data-dir")
    free = usage(folder)[2]
    shown = f"{free / (1 << 30):.1f} GiB free at {folder}"
    if free < _MIN_FREE_BYTES:
        return Finding("disk", "failed", shown, "free at least 1 GiB, or use a --data-dir on another disk")
    if free < _LOW_FREE_BYTES:
        return Finding("disk", "warning", shown, "large data sets need several times their size")
    return Finding("disk", "ok", shown)


def check_clock(
    *,
    wall: Callable[[], float] = time.time,
    steady: Callable[[], float] = time.monotonic,
    synchronised: Callable[[], bool | None] | None = None,
) -> Finding:
    """Check that the clock is plausible and does not jump: signatures and tokens fail when it is minutes off.

    Args:
        wall: Returns seconds since 1970.
        steady: Returns the seconds of a monotonic clock.
        synchronised: Returns whether a time server keeps the clock right; None when that is unknown.
    """
    first_wall, first_steady = wall(), steady()
    with tempfile.NamedTemporaryFile() as file:
        file_time = Path(file.name).stat().st_mtime
    drift = (wall() - first_wall) - (steady() - first_steady)
    year = datetime.fromtimestamp(first_wall, UTC).year
    shown = datetime.fromtimestamp(first_wall, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    hint = "set the clock, e.g. timedatectl set-ntp true"
    if not _EARLIEST_YEAR <= year <= _LATEST_YEAR:
        return Finding("clock", "failed", f"it shows {shown}", hint)
    if abs(file_time - first_wall) > _CLOCK_TOLERANCE_SECONDS or abs(drift) > _CLOCK_TOLERANCE_SECONDS:
        return Finding("clock", "failed", f"{shown}, and it disagrees with the file system or jumps", hint)
    if (synchronised or _synchronised)() is False:
        return Finding("clock", "warning", f"{shown}, not kept by a time server", hint)
    return Finding("clock", "ok", shown)


def check_tls(environ: Mapping[str, str]) -> Finding:
    """Check that the processes accept the certificates that the environment names."""
    try:
        tls = tls_files(environ)
        if tls is None:
            return Finding("TLS", "ok", "no certificates: plain text on loopback")
        check_certificates(tls)
    except InvalidInput as error:
        return Finding("TLS", "failed", error.message, "see docs/grpc-and-tls.md")
    return Finding("TLS", "ok", f"{tls.cert_file} is accepted between processes of this machine")


def check_open_files(limit: int) -> Finding:
    """Check that enough files and connections may be open at once."""
    if limit == resource.RLIM_INFINITY or limit >= _MIN_OPEN_FILES:
        return Finding("open files", "ok", "no limit" if limit == resource.RLIM_INFINITY else f"up to {limit}")
    return Finding("open files", "failed", f"up to {limit}", f"ulimit -n {_MIN_OPEN_FILES * 8}")


def _synchronised() -> bool | None:
    if shutil.which("timedatectl") is None:
        return None
    try:
        completed = run(
            ["timedatectl", "show", "--property=NTPSynchronized", "--value"],
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except TimeoutExpired:
        return None  # timedatectl's own service does not run
    return {"yes": True, "no": False}.get(completed.stdout.strip())


def _installed_versions() -> dict[str, str]:
    # Broken installations have no name.
    return {normalise_name(item.name): item.version for item in metadata.distributions() if item.name}


def _pinned_versions() -> dict[str, str]:
    if not _CONSTRAINTS.exists():
        return {}
    pins = (line.split("==") for line in _CONSTRAINTS.read_text().splitlines() if "==" in line)
    return {normalise_name(name): version for name, version in pins}


def normalise_name(name: str) -> str:
    """Return a package's name as package indexes compare it, e.g. `typing-extensions` for `typing_extensions`."""
    return re.sub(r"[-_.]+", "-", name).lower()
