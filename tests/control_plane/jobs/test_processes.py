"""Several processes with a queue each on one database, some of them killed: every job is done, by one at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from control_plane.domain.jobs import JobKind, JobState, Outcome
from control_plane.metadata_store.sql import open_metadata_store
from control_plane.metadata_store.tables import Job, JobAttempt
from tests.control_plane.jobs.worker import VICTIMS
from tests.control_plane.sqlite import sqlite_url

N_JOBS = 24


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
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
    command = [sys.executable, "-m", "tests.control_plane.jobs.worker", url, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, start_new_session=True, text=True, **pipes) as running:
        try:
            victims = [int(running.stdout.readline()) for _ in VICTIMS]
            running.stdin.write("all victims hold a job\n")
            running.stdin.flush()
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
            assert running.wait(timeout=60) == 0
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)

    jobs = metadata_store.view(lambda unit: unit.find(Job))
    attempts = metadata_store.view(lambda unit: unit.find(JobAttempt))
    assert {row.state for row in jobs} == {JobState.SUCCEEDED}
    assert Counter(row.job_id for row in attempts if row.outcome == Outcome.SUCCEEDED) == {row.id: 1 for row in jobs}
    lost = [row.worker_id for row in attempts if row.outcome == Outcome.LOST]
    assert set(VICTIMS) <= set(lost)
    ended = Counter(line for file in tmp_path.glob("*.done") for line in file.read_text().split())
    assert ended == {row.id: 1 for row in jobs}
