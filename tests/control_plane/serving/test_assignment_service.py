"""Heartbeats of runtime workers: recorded seldom, and without waking waiting calls."""

from __future__ import annotations

from control_plane.metadata_store.tables import RuntimeWorker


def test_repeated_calls_of_a_worker_wake_no_waiting_call_and_are_not_all_recorded(world):
    revision = world.watch("worker")
    world.watch("worker", revision)
    changes, noted = world.metadata_store.changed.changes, last_seen(world)

    world.clock.advance(seconds=1)
    world.watch("worker", revision)
    assert last_seen(world) == noted
    world.clock.advance(seconds=9)
    world.watch("worker", revision)
    assert last_seen(world) == world.clock.now()
    assert world.metadata_store.changed.changes == changes

    world.watch("worker", revision - 1)
    assert world.metadata_store.changed.changes == changes + 1


def last_seen(world):
    return world.metadata_store.view(lambda unit: unit.get(RuntimeWorker, "worker").last_seen_at)
