"""docs/grpc-and-tls.md does what it says: its blocks are run from top to bottom, on ports that are free."""

import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.processes import free_base

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "grpc-and-tls.md").read_text()
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def script(base):
    """Return the page's blocks as one script for bash; each block's heading is printed before it."""
    lines = ["set -eu"]
    for place, (language, text) in enumerate(BLOCK.findall(PAGE)):
        moved = re.sub(r"127\.0\.0\.1:740(\d)", lambda port: f"127.0.0.1:{base + int(port[1])}", text)
        moved = moved.replace("tailorbird up ", f"tailorbird up --port-base {base} ")
        lines.append(f"echo block {place}")
        lines.append(moved if language == "sh" else f"python - <<'PY'\n{moved}\nPY")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "protos").symlink_to(ROOT / "protos")
    (folder / "common").symlink_to(ROOT / "common")
    programs = folder / "bin"
    programs.mkdir()
    for name, words in (("python", ""), ("tailorbird", "-m cli ")):
        path = f'PYTHONPATH={shlex.quote(str(ROOT))}"${{PYTHONPATH:+:$PYTHONPATH}}"' if words else ""
        (programs / name).write_text(f'#!/bin/sh\n{path} exec {shlex.quote(sys.executable)} {words}"$@"\n')
        (programs / name).chmod(0o755)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("TAILORBIRD_", "AWS_"))}
    with (folder / "output").open("wb") as file:
        process = subprocess.Popen(
            ["bash", "-c", script(free_base())],
            cwd=folder,
            env={**environ, "PATH": f"{programs}:{environ['PATH']}", "TAILORBIRD_WORKERS": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        code = process.wait(timeout=240)
    finally:
        # What the page started, should it have ended half-way.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
    text = (folder / "output").read_text()
    assert code == 0, text + (folder / "up.log").read_text(errors="replace")[-3000:]
    return text


def test_every_block_is_run():
    assert {language for language, _ in BLOCK.findall(PAGE)} == {"sh", "python"}


@pytest.mark.parametrize(
    "shown",
    [r"^\d\d recipes$", r"^NOT_FOUND ResourceNotFoundException$", r"^tailorbird\.control\.v1\.ControlPlaneService$"],
)
def test_the_page_shows_what_it_says(output, shown):
    assert re.search(shown, output, flags=re.MULTILINE), output


def test_boto3_and_a_stub_see_the_same_recipes(output):
    counts = re.findall(r"^(\d+) recipes$", output, flags=re.MULTILINE)
    assert (len(counts), len(set(counts))) == (2, 1)
