"""Folders that several processes hold: they stay while one does, and go with the next one that comes."""

import os
import subprocess
import sys
import tempfile
import time

import pytest

from common.process.held_folder import HeldFolder, temporary_root

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


def test_a_folder_without_a_lock_goes_as_if_it_was_taken_when_it_was_first_seen(tmp_path):
    (tmp_path / "artifacts" / "films").mkdir(parents=True)
    HeldFolder(tmp_path, "other", idle_seconds=300.0).remove()
    assert (tmp_path / "artifacts" / "films").is_dir()
    hour_ago = time.time() - 3600.0
    os.utime(tmp_path / "artifacts.lock", (hour_ago, hour_ago))
    HeldFolder(tmp_path, "other", idle_seconds=300.0).remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["a link", "a file"])
def test_a_folder_that_is_a_link_or_a_file_of_somebody_is_not_taken(tmp_path, kind):
    take(tmp_path / "folders", kind)
    with pytest.raises(PermissionError, match="another user"):
        HeldFolder(tmp_path / "folders", "job", idle_seconds=0.0)


def take(path, kind):
    if kind == "a file":
        path.touch()
    else:
        target = path.with_name("theirs")
        target.mkdir()
        path.symlink_to(target)


@pytest.mark.parametrize("kind", ["a link", "a file"])
def test_a_name_that_somebody_has_taken_is_replaced_by_one_that_nobody_guesses(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert temporary_root("trials") == tmp_path / f"tailorbird-trials-{os.getuid()}"
    take(tmp_path / f"tailorbird-trials-{os.getuid()}", kind)
    take(tmp_path / f"tailorbird-trials-{os.getuid()}.aaaaaaaa", "a file")

    root = temporary_root("trials")

    HeldFolder(root, "job", idle_seconds=0.0).remove()
    assert root.stat().st_mode & 0o777 == 0o700
    # Processes share it, and clean up after each other.
    assert temporary_root("trials") == root
