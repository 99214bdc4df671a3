"""The lease among control planes with connections of their own, on each database: whoever wins, a run happens once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from common.clock import ManualClock
from control_plane.metadata_store.tables import SolutionVersion
from control_plane.resources.schedules import start_schedule
from tests.control_plane.sqlite import sqlite_url
from tests.control_plane.world import ACCOUNT, make_world

N_ROUNDS = 4
#: Longer than the lease and the interval: in every round each control plane may take the lease, and all is due.
PAUSE = timedelta(days=2)


@pytest.fixture(params=["sqlite", "postgresql"])
def worlds(request, tmp_path):
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres").database()
    clock = ManualClock()
    made = [make_world(tmp_path, url=url, clock=clock) for _ in range(3)]
    yield made
    for world in made:
        world.metadata_store.close()


def test_of_control_planes_that_want_the_lease_at_once_one_runs_each_schedule(worlds):
    first = worlds[0]
    group = first.imported_group()
    solutions = [first.solution(group) for _ in range(3)]
    for solution in solutions:
        first.metadata_store.transact(
            lambda unit, solution=solution: start_schedule(
                unit,
                solution,
                interval=timedelta(days=1),
                first_at=first.clock.now() + PAUSE,
                now=first.clock.now(),
                only_with_new_data=False,
            ),
            account=ACCOUNT,
        )
    barrier = threading.Barrier(len(worlds))

    def run(world) -> None:
        barrier.wait(timeout=30)
        world.plane.maintenance.sweep()

    for number in range(1, N_ROUNDS + 1):
        first.clock.advance(seconds=PAUSE.total_seconds())
        with ThreadPoolExecutor(len(worlds)) as threads:
            assert list(threads.map(run, worlds)) == [None] * len(worlds)
        made = first.metadata_store.view(lambda unit: unit.find(SolutionVersion))
        counts = [sum(version.solution_arn == solution for version in made) for solution in solutions]
        assert counts == [number] * len(solutions)
