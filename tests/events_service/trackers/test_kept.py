"""Tracking ids kept in a file, for a start while the control plane is unreachable."""

from __future__ import annotations

import errno
import os
import time

import pytest

from common.errors import ResourceNotFound, Unavailable
from events_service.log import LogTable
from events_service.trackers import Tracker
from events_service.trackers.kept import TrackerFile
from tests.events_service.samples import GROUP, TRACKING_ID, ListedTrackers, known_trackers, table, tracker
from tests.events_service.trackers.watch import resolve, watching


def test_kept_set_is_used_at_the_next_start_while_the_control_plane_is_unreachable(tmp_path):
    file, source = TrackerFile(tmp_path / "trackers.json"), known_trackers()
    source.trackers["no-dataset"] = Tracker(GROUP)
    with watching(source, file=file) as followed:
        resolve(followed, TRACKING_ID)
    source.error = Unavailable("away")

    with watching(source, file=file) as followed:
        assert resolve(followed, TRACKING_ID) == tracker()
        with pytest.raises(Unavailable, match="away"):
            resolve(followed, "no-dataset")


def test_kept_set_is_fetched_again_when_the_control_plane_is_reachable(tmp_path):
    file, source = TrackerFile(tmp_path / "trackers.json"), known_trackers()
    with watching(source, file=file) as followed:
        resolve(followed, TRACKING_ID)
    source.trackers[TRACKING_ID] = tracker(table("datasets/other"))

    with watching(source, file=file) as followed:
        assert resolve(followed, TRACKING_ID).table.location == "datasets/other"


def test_kept_set_is_replaced_by_that_of_another_control_plane_with_the_same_revision(tmp_path):
    file, source = TrackerFile(tmp_path / "trackers.json"), known_trackers()
    file.keep(1, {"of-another": tracker(table("datasets/other"))})

    with watching(source, file=file) as followed:
        assert resolve(followed, TRACKING_ID) == tracker()
        with pytest.raises(ResourceNotFound):
            resolve(followed, "of-another")

    assert len(source.sets) == 1


def test_schema_that_cannot_be_parsed_does_not_affect_other_groups(tmp_path):
    file = TrackerFile(tmp_path / "trackers.json")
    kept = {TRACKING_ID: tracker(), "broken": Tracker(GROUP, LogTable("datasets/x", GROUP, "no schema"), None)}

    file.keep(1, kept)

    assert file.read().trackers == kept


def test_kept_set_expires_when_it_is_too_old(tmp_path):
    file, source = TrackerFile(tmp_path / "trackers.json"), known_trackers()
    with watching(source, file=file) as followed:
        resolve(followed, TRACKING_ID)
    long_ago = time.time() - 101
    os.utime(tmp_path / "trackers.json", (long_ago, long_ago))
    source.error = Unavailable("away")

    with watching(source, file=file) as followed, pytest.raises(Unavailable, match="away"):
        resolve(followed, TRACKING_ID)


def test_a_set_is_kept_before_its_revision_is_confirmed(tmp_path):
    file = TrackerFile(tmp_path / "trackers.json")
    pairs = []  # revision in a request, revision in the file at that moment

    class NotingTrackers(ListedTrackers):
        def fetch(self, revisions, *, wait_seconds):
            pairs.append((revisions.revision, (kept := file.read()) and kept.revision))
            return super().fetch(revisions, wait_seconds=wait_seconds)

    source = NotingTrackers(**{TRACKING_ID: tracker()})
    with watching(source, file=file) as followed:
        for number in range(5):
            source.trackers[f"t{number}"] = tracker()
            resolve(followed, f"t{number}")

    assert {revision for revision, _ in pairs} >= {None, 1, 2, 3, 4, 5}
    assert [pair for pair in pairs if pair[0] != pair[1]] == []


@pytest.mark.parametrize("damage", ["", "[]", '{"format_version": 2}', '{"format_version": 1, "trackers": 7}'])
def test_file_that_cannot_be_read_counts_as_none(tmp_path, damage):
    path = tmp_path / "trackers.json"
    path.write_text(damage)

    assert TrackerFile(path).read() is None


def test_set_that_cannot_be_kept_leaves_no_older_one(tmp_path, monkeypatch):
    path = tmp_path / "trackers.json"
    file = TrackerFile(path)
    file.keep(1, {TRACKING_ID: tracker()})

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)

    file.keep(2, {})
    file.confirm()

    assert file.read() is None


def test_kept_file_is_its_owners_alone(tmp_path):
    TrackerFile(tmp_path / "trackers.json").keep(1, {TRACKING_ID: tracker()})

    assert (tmp_path / "trackers.json").stat().st_mode & 0o077 == 0
