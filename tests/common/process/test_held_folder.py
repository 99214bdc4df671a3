"""Folders that several processes hold: they stay while one does, and go with the next one that comes."""

import os
import subprocess
import sys

import pytest

from common.process.held_folder import HeldFolder

HOLD = """
import sys
from pathlib import Path
from common.process.held_folder import HeldFolder
folder = HeldFolder(Path(sys.argv[1]), "job", idle_seconds=0.0)
(folder.path / "copy").write_text("model")
print("held", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_held_goes_once_it_is_idle(tmp_path):
    root = tmp_path / "folders"
    command = [sys.executable, "-c", HOLD, str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            second = HeldFolder(root, "job", idle_seconds=0.0)
            assert (second.path / "copy").read_text() == "model"
            os.close(second._descriptor)  # as the end of a process does
            HeldFolder(root, "other", idle_seconds=0.0).remove()
            assert (root / "job" / "copy").exists()
        finally:
            process.kill()

    HeldFolder(root, "other", idle_seconds=3600.0).remove()
    assert (root / "job" / "copy").exists()
    HeldFolder(root, "other", idle_seconds=0.0).remove()
    assert list(root.iterdir()) == []


def test_a_folder_that_is_a_link_of_somebody_is_not_taken(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "folders").symlink_to(tmp_path / "theirs")
    with pytest.raises(PermissionError, match="another user"):
        HeldFolder(tmp_path / "folders", "job", idle_seconds=0.0)
