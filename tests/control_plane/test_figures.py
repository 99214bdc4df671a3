"""The figures of the job queue."""

from __future__ import annotations

from common.telemetry.shared import Block, SharedFigures
from control_plane.figures import FIGURES, JobFigures
from tests.common.telemetry.shown import shown
from tests.control_plane.world import make_world


def readings(world):
    return {(one.figure.name, *one.labels): one.value for one in JobFigures(world.metadata_store, world.clock).read()}


def test_jobs_are_shown_while_they_wait_and_run_and_counted_when_they_end(tmp_path):
    block = Block()
    world = make_world(tmp_path, figures=SharedFigures(block))
    dataset = world.dataset(world.group())
    world.import_job(dataset)
    world.clock.advance(seconds=30)

    queued = readings(world)
    assert queued["tailorbird_jobs", "dataset_import", "waiting"] == 1
    assert queued["tailorbird_jobs", "dataset_import", "leased"] == 0
    assert queued["tailorbird_job_oldest_waiting_seconds",] == 30

    lease = world.lease()
    running = readings(world)
    assert running["tailorbird_jobs", "dataset_import", "leased"] == 1
    assert running["tailorbird_job_oldest_waiting_seconds",] == 0

    # Its trainer is silent for longer than a lease, which no queue counts in its own first.
    world.clock.advance(seconds=61)
    world.queue.expire()
    lease = world.lease()
    world.queue.fail(lease.job.id, lease.token, reason="a bad file", retryable=False)

    assert shown([block], FIGURES) == {
        ("tailorbird_job_leases_lost_total", "dataset_import"): 1,
        ("tailorbird_jobs_ended_total", "dataset_import", "failed"): 1,
    }
    assert readings(world)["tailorbird_jobs", "dataset_import", "waiting"] == 0
    world.metadata_store.close()
