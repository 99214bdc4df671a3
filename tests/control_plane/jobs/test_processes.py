"""Several processes with a queue each on one database, some of them killed: every job is done, by one at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from control_plane.domain.jobs import JobKind, JobState, Outcome
from control_plane.metadata_store.sql import open_metadata_store
from control_plane.metadata_store.tables import Job, JobAttempt

N_JOBS = 24
N_VICTIMS = 2


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'metadata_store.db'}"
    return request.getfixturevalue("postgres").database()


@pytest.fixture
def metadata_store(url):
    opened = open_metadata_store(url)
    yield opened
    opened.close()


def job(number: int) -> Job:
    now = datetime.now(UTC)
    return Job(
        id=f"job-{number}",
        kind=JobKind.STORAGE_REMOVAL,
        state=JobState.WAITING,
        subject=f"subject-{number}",
        dataset_group_arn=f"group-{number % 4}",
        request_id="",
        payload={"locations": []},
        available_at=now,
        created_at=now,
    )


def test_each_job_is_done_by_one_process_at_a_time_and_ends_once(metadata_store, url, tmp_path):
    def add_jobs(unit) -> None:
        for number in range(N_JOBS):
            unit.add(job(number))

    metadata_store.transact(add_jobs)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TAILORBIRD_")}
    with ExitStack() as running:

        def start(name: str, *words: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "tests.control_plane.jobs.worker", url, str(tmp_path), name, *words]
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
            running.enter_context(process)
            running.callback(process.kill)
            return process

        victims = [start(f"victim-{number}", "victim") for number in range(N_VICTIMS)]
        assert [victim.stdout.readline() for victim in victims] == ["held\n"] * N_VICTIMS
        workers = [start(f"worker-{number}") for number in range(3)]
        for victim in victims:
            victim.kill()
        assert [worker.wait(timeout=60) for worker in workers] == [0, 0, 0]

    jobs = metadata_store.view(lambda unit: unit.find(Job))
    attempts = metadata_store.view(lambda unit: unit.find(JobAttempt))
    assert {row.state for row in jobs} == {JobState.SUCCEEDED}
    assert Counter(row.job_id for row in attempts if row.outcome == Outcome.SUCCEEDED) == {row.id: 1 for row in jobs}
    lost = [row.worker_id for row in attempts if row.outcome == Outcome.LOST]
    assert {f"victim-{number}" for number in range(N_VICTIMS)} <= set(lost)
    ended = Counter(line for file in tmp_path.glob("*.done") for line in file.read_text().split())
    assert ended == {row.id: 1 for row in jobs}
