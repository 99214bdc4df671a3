"""Trackers that are watched while a test runs."""

from __future__ import annotations

from contextlib import contextmanager

from events_service.trackers.followed import FollowedTrackers
from tests.control_plane.world import ACCOUNT

PATIENCE = 60.0  # what tests wait for comes in milliseconds, unless the machine is busy


@contextmanager
def watching(source, **options):
    followed = FollowedTrackers(source, **{"patience_seconds": PATIENCE, "stale_seconds": 100.0, **options})
    followed.start()
    try:
        yield followed
    finally:
        followed.stop()


def resolve(followed, tracking_id, *, account=ACCOUNT):
    with followed.use(tracking_id, account=account, seconds=PATIENCE) as tracker:
        return tracker
