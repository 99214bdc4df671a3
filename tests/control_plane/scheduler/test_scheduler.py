"""Automatic training over weeks of simulated time: what runs, what is left out, who runs it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import structlog

from control_plane.domain.quotas import Quotas
from control_plane.domain.states import Status
from control_plane.metadata_store.tables import Schedule, Solution
from control_plane.resources.schedules import start_schedule
from control_plane.server import assemble
from protos.tailorbird.control.v1.solution_pb2 import UpdateSolutionRequest
from tests.control_plane.messages import filled, solution_config
from tests.control_plane.world import ACCOUNT, EVERYTHING, TIMING, make_world

HOUR, DAY = 3600, 86_400
ACTIONS = "arn:aws:personalize:::recipe/aws-next-best-action"


def automatic(world, group=None, *, rate="rate(2 days)", **more):
    """Create a solution that is trained automatically."""
    config = solution_config({"autoTrainingConfig": {"schedulingExpression": rate}})
    return world.solution(
        group or world.imported_group(), **{"perform_auto_training": True, "solution_config": config, **more}
    )


def versions(world, solution):
    return world.resources.versions.list(EVERYTHING, solution_arn=solution).items


def passing(world, *, seconds):
    """Let time pass with sweeps: every hour, or every six where it is more than two days."""
    step = HOUR if seconds <= 2 * DAY else 6 * HOUR
    for _ in range(seconds // step):
        world.clock.advance(seconds=step)
        world.sweep()


def train(world):
    world.finish_next({"metrics": {}})


def bring_data(world, solution):
    group = world.resources.solutions.describe(solution)[0].dataset_group_arn
    (dataset,) = world.resources.datasets.list(EVERYTHING, dataset_group_arn=group).items
    world.import_job(dataset.arn)
    world.finish_next({"imported_rows": 1000, "files": 1})


def update(world, solution, document):
    return world.resources.solutions.update(filled(UpdateSolutionRequest(solution_arn=solution), document))


def logged(logs, event):
    return [entry for entry in logs if entry["event"] == event]


def test_the_first_training_begins_within_an_hour(world):
    solution = automatic(world)
    world.sweep()
    assert versions(world, solution) == []

    passing(world, seconds=HOUR)

    (version,) = versions(world, solution)
    assert (version.training_type, version.training_mode, version.status) == (
        "AUTOMATIC", "FULL", Status.CREATE_PENDING,
    )  # fmt: skip
    assert world.resources.solutions.describe(solution)[1].arn == version.arn


def test_a_training_on_request_within_the_hour_takes_the_place_of_the_first(world):
    solution = automatic(world)
    world.clock.advance(seconds=HOUR / 2)
    manual = world.version(solution)
    train(world)
    passing(world, seconds=DAY)
    assert [version.arn for version in versions(world, solution)] == [manual]
    bring_data(world, solution)

    passing(world, seconds=DAY)

    assert [version.training_type for version in versions(world, solution)] == ["MANUAL", "AUTOMATIC"]


def test_a_training_on_request_that_failed_takes_no_place(world):
    solution = automatic(world)
    world.version(solution)
    lease = world.lease()
    world.queue.fail(lease.job.id, lease.token, reason="too little data", retryable=False)

    passing(world, seconds=HOUR)

    assert [version.training_type for version in versions(world, solution)] == ["MANUAL", "AUTOMATIC"]


def test_later_trainings_come_at_the_interval_and_only_with_new_data(world):
    solution = automatic(world)
    passing(world, seconds=HOUR)
    train(world)
    with structlog.testing.capture_logs() as logs:
        passing(world, seconds=4 * DAY)
    assert len(versions(world, solution)) == 1
    assert len(logged(logs, "training_skipped")) == 2
    bring_data(world, solution)

    passing(world, seconds=DAY + 23 * HOUR)
    assert len(versions(world, solution)) == 1
    passing(world, seconds=HOUR)
    first, second = versions(world, solution)

    assert second.creation_date_time - first.creation_date_time == timedelta(days=6)


def test_streamed_rows_are_new_data(world):
    solution = automatic(world)
    passing(world, seconds=HOUR)
    train(world)
    group = world.resources.solutions.describe(solution)[0].dataset_group_arn
    (dataset,) = world.resources.datasets.list(EVERYTHING, dataset_group_arn=group).items
    world.clock.advance(seconds=HOUR)
    world.resources.trackers.note_rows([dataset.location, "datasets/gone"])

    passing(world, seconds=2 * DAY)

    assert len(versions(world, solution)) == 2
    assert world.resources.datasets.describe(dataset.arn).rows_streamed_at is not None


def test_rows_that_came_after_a_training_but_were_noted_before_it_are_new_data(world):
    solution = automatic(world)
    group = world.resources.solutions.describe(solution)[0].dataset_group_arn
    (dataset,) = world.resources.datasets.list(EVERYTHING, dataset_group_arn=group).items
    world.resources.trackers.note_rows([dataset.location])
    world.clock.advance(seconds=20)
    world.version(solution)
    train(world)
    # Within the minute of the note, which is therefore not written anew.
    world.clock.advance(seconds=20)
    world.resources.trackers.note_rows([dataset.location])

    passing(world, seconds=3 * DAY)

    assert [version.training_type for version in versions(world, solution)] == ["MANUAL", "AUTOMATIC"]


def test_a_note_of_rows_is_written_once_a_minute(world):
    dataset = world.dataset(world.group())
    location = world.resources.datasets.describe(dataset).location
    noted = []
    for _ in range(5):
        world.clock.advance(seconds=20)
        world.resources.trackers.note_rows([location])
        noted.append(world.resources.datasets.describe(dataset).rows_streamed_at)

    assert [moment == noted[0] for moment in noted] == [True, True, True, False, False]


def test_interactions_are_no_new_data_for_actions(world):
    group = world.imported_group()
    solution = automatic(world, group, recipe=ACTIONS)
    passing(world, seconds=HOUR)
    train(world)
    bring_data(world, solution)

    passing(world, seconds=3 * DAY)

    assert len(versions(world, solution)) == 1


def test_what_was_trained_at_the_beginning_and_needs_no_new_data_is_trained_every_week(world):
    solution = world.solution(world.imported_group())
    world.version(solution)
    train(world)

    def start(unit):
        now = world.clock.now()
        interval = timedelta(days=7)
        start_schedule(
            unit, solution, interval=interval, first_at=now + interval, now=now, last_run_at=now,
            only_with_new_data=False,
        )  # fmt: skip

    world.metadata_store.transact(start, account=ACCOUNT)
    for _ in range(3):
        passing(world, seconds=7 * DAY)
        train(world)

    assert [version.training_type for version in versions(world, solution)] == ["MANUAL", *["AUTOMATIC"] * 3]


def test_missed_runs_are_not_made_up_for(world):
    solution = automatic(world)
    passing(world, seconds=HOUR)
    train(world)
    bring_data(world, solution)

    world.clock.advance(seconds=11 * DAY)
    world.sweep()
    train(world)
    bring_data(world, solution)
    passing(world, seconds=DAY + 23 * HOUR)

    assert len(versions(world, solution)) == 2
    passing(world, seconds=HOUR)
    assert len(versions(world, solution)) == 3


def test_another_interval_begins_the_schedule_anew(world):
    solution = automatic(world, rate="rate(30 days)")
    passing(world, seconds=HOUR)
    train(world)
    update(world, solution, {"solutionUpdateConfig": {"autoTrainingConfig": {"schedulingExpression": "rate(1 day)"}}})

    passing(world, seconds=HOUR)
    assert len(versions(world, solution)) == 2
    train(world)
    bring_data(world, solution)
    passing(world, seconds=DAY)

    assert len(versions(world, solution)) == 3


def test_the_same_interval_changes_nothing(world):
    solution = automatic(world, rate="rate(7 days)")
    passing(world, seconds=HOUR)
    train(world)
    update(world, solution, {"solutionUpdateConfig": {"autoTrainingConfig": {"schedulingExpression": "rate(7 days)"}}})
    update(world, solution, {"performAutoTraining": True})

    passing(world, seconds=DAY)

    assert len(versions(world, solution)) == 1


def test_automatic_training_can_be_switched_off_and_on(world):
    solution = automatic(world)
    update(world, solution, {"performAutoTraining": False})
    passing(world, seconds=10 * DAY)
    assert versions(world, solution) == []

    update(world, solution, {"performAutoTraining": True})
    passing(world, seconds=HOUR)

    assert len(versions(world, solution)) == 1


def test_a_full_quota_puts_a_run_off_and_is_logged_once(tmp_path):
    world = make_world(tmp_path, quotas=Quotas(pending_solution_versions=1))
    group = world.imported_group()
    world.version(world.solution(group))
    solution = automatic(world, group)
    with structlog.testing.capture_logs() as logs:
        passing(world, seconds=3 * HOUR)
    (entry,) = logged(logs, "training_postponed")
    assert "pending_solution_versions" in entry["reason"]
    assert versions(world, solution) == []

    train(world)
    passing(world, seconds=HOUR)

    assert [version.training_type for version in versions(world, solution)] == ["AUTOMATIC"]


def test_a_schedule_that_cannot_be_run_does_not_stop_the_others(world):
    """Its recipe is gone, as after going back to an earlier release."""
    group = world.imported_group()
    broken, intact = automatic(world, group), automatic(world, group)

    def break_recipe(unit):
        unit.get(Solution, broken).recipe_arn = "arn:aws:personalize:::recipe/aws-gone"

    world.metadata_store.transact(break_recipe)
    with structlog.testing.capture_logs() as logs:
        passing(world, seconds=3 * HOUR)

    assert len(versions(world, intact)) == 1
    assert versions(world, broken) == []
    (entry,) = logged(logs, "training_postponed")
    assert (entry["log_level"], entry["solution_arn"], type(entry["exc_info"])) == ("error", broken, KeyError)


def test_a_group_without_data_is_trained_when_there_are_some(world):
    group = world.group()
    dataset = world.dataset(group)
    solution = automatic(world, group)
    passing(world, seconds=5 * HOUR)
    assert versions(world, solution) == []
    world.import_job(dataset)
    world.finish_next({"imported_rows": 5000, "files": 1})

    passing(world, seconds=HOUR)

    assert len(versions(world, solution)) == 1


def test_a_deleted_solution_is_not_trained(world):
    solution = automatic(world)
    passing(world, seconds=HOUR)
    train(world)
    bring_data(world, solution)
    world.resources.solutions.delete(solution)
    with structlog.testing.capture_logs() as logs:
        passing(world, seconds=3 * DAY)

    assert not logged(logs, "training_postponed")
    assert world.metadata_store.view(lambda unit: unit.count(Schedule, limit=9)) == 0


def test_every_account_is_served(world):
    theirs = world.resources_of("999999999999")
    assert automatic(world)
    group = theirs.dataset_groups.create("theirs").arn
    world.resources, ours = theirs, world.resources
    try:
        world.import_job(world.dataset(group))
        world.finish_next({"imported_rows": 5000, "files": 1})
        solution = automatic(world, group)
        passing(world, seconds=HOUR)
        (version,) = versions(world, solution)
    finally:
        world.resources = ours
    assert version.account == "999999999999"


def other_plane(world):
    """Return the maintenance of another control plane on the same database."""
    return assemble(world.metadata_store, world.app_context, TIMING).maintenance


def test_of_two_control_planes_one_runs_each_training(world):
    planes = [world.plane.maintenance, other_plane(world)]
    solutions = [automatic(world) for _ in range(3)]
    barrier = threading.Barrier(2)

    def sweep(plane):
        barrier.wait(timeout=30)
        plane.sweep()

    for _ in range(4):
        world.clock.advance(seconds=HOUR / 2)
        with ThreadPoolExecutor(2) as threads:
            assert list(threads.map(sweep, planes)) == [None, None]

    assert [len(versions(world, solution)) for solution in solutions] == [1, 1, 1]


def test_another_control_plane_takes_over_when_the_lease_has_expired(world):
    """The first one dies with the lease: its last run is 55 minutes and a few seconds old."""
    other = other_plane(world)
    first = automatic(world)
    world.clock.advance(seconds=3300)
    second = automatic(world)
    world.sweep()
    assert len(versions(world, first)) == 1
    world.clock.advance(seconds=3300)
    third = automatic(world)
    other.sweep()
    assert len(versions(world, second)) == 1

    world.clock.advance(seconds=3300)
    world.sweep()
    assert len(versions(world, third)) == 1


def test_a_control_plane_without_the_lease_runs_nothing(world):
    other = other_plane(world)
    first = automatic(world)
    world.clock.advance(seconds=30)
    second = automatic(world)
    world.clock.advance(seconds=3270)
    world.sweep()
    world.clock.advance(seconds=30)

    other.sweep()

    assert len(versions(world, first)) == 1
    assert versions(world, second) == []
    world.sweep()
    assert len(versions(world, second)) == 1


def test_schedules_survive_restarts(tmp_path):
    world = make_world(tmp_path)
    solution = automatic(world)
    for _ in range(4 * 9):
        world.metadata_store.close()
        before, world = world, make_world(tmp_path, clock=world.clock)
        world.numbers = before.numbers
        passing(world, seconds=6 * HOUR)
        if world.resources.solutions.describe(solution)[1].status == Status.CREATE_PENDING:
            train(world)
            bring_data(world, solution)

    assert [version.training_type for version in versions(world, solution)] == ["AUTOMATIC"] * 5
    world.metadata_store.close()
