"""Programs that a pool executes, probes, restarts and stops, with real small processes."""

import asyncio
import os
import signal
import threading
from contextlib import asynccontextmanager
from functools import partial

from common.process.backoff import BackoffPolicy
from common.process.executed import ExecutedProgram, ProcessSpec
from common.process.probing import Health, LivenessPolicy
from common.process.worker_pool import RestartPolicy, WorkerPool
from tests.common.process.programs import SERVE, gone, health, pid_of, script, until

QUICK = RestartPolicy(BackoffPolicy(first_seconds=0.05, longest_seconds=0.4), steady_seconds=60.0)


class Recorder:
    """A listener that keeps what it is told, and the lines of the processes."""

    def __init__(self):
        self.calls = []
        self.lines = []

    def line(self, process, text):
        self.lines.append((process, text))

    def started(self, worker, pid):
        self.calls.append(("started", worker.program.name, pid))

    def ready(self, worker, seconds):
        self.calls.append(("ready", worker.program.name, seconds))

    def silent(self, worker, pid, seconds):
        self.calls.append(("silent", worker.program.name, pid))

    def ended(self, worker, how, restart_in_seconds):
        self.calls.append(("ended", worker.program.name, how, restart_in_seconds))

    def stopping(self, worker):
        self.calls.append(("stopping", worker.program.name))

    def not_stopped(self, worker, pid, grace_seconds):
        self.calls.append(("not_stopped", worker.program.name, pid))

    def of(self, event):
        return [call[1:] for call in self.calls if call[0] == event]


@asynccontextmanager
async def running(*specs, restarts=QUICK, liveness=None, grace_seconds=12.0):
    recorder = Recorder()
    programs = [
        ExecutedProgram(spec, on_line=partial(recorder.line, spec.name), liveness=liveness or LivenessPolicy())
        for spec in specs
    ]
    pool = WorkerPool(programs, listener=recorder, policy=restarts, grace_seconds=grace_seconds)
    pool.start()
    try:
        yield pool, recorder
    finally:
        await pool.stop()


def test_a_process_that_is_killed_is_started_again(tmp_path):
    async def scenario():
        async with running(script(tmp_path, "a", SERVE)) as (pool, recorder):
            await pool.workers[0].ready.wait()
            first = pool.workers[0].pid
            os.kill(first, signal.SIGKILL)
            await until(lambda: len(recorder.of("started")) == 2)
            await pool.workers[0].ready.wait()
            return recorder

    recorder = asyncio.run(scenario())
    ((_, how, pause),) = recorder.of("ended")
    assert (how.status, how.reason, pause) == (-9, "SIGKILL", 0.05)
    assert (tmp_path / "starts").read_text().split() == ["a", "a"]


def test_a_process_that_lived_long_is_restarted_as_fast_as_the_first_time(tmp_path):
    restarts = RestartPolicy(BackoffPolicy(first_seconds=0.05, longest_seconds=1.0), steady_seconds=0.0)

    async def scenario():
        async with running(script(tmp_path, "a", "ready()"), restarts=restarts) as (_, recorder):
            await until(lambda: len(recorder.of("ended")) >= 3)
            return recorder

    ends = asyncio.run(scenario()).of("ended")
    assert [pause for _, _, pause in ends[:3]] == [0.05, 0.05, 0.05]


def test_the_first_end_costs_no_pause_where_that_is_the_policy():
    restarts = RestartPolicy(BackoffPolicy(0.1, 0.3), steady_seconds=1.0, first_at_once=True)
    assert [restarts.pause_seconds(ends) for ends in range(1, 6)] == [0.0, 0.1, 0.2, 0.3, 0.3]


def test_a_process_that_answers_that_it_is_not_ready_is_left_alone(tmp_path):
    spec = script(tmp_path, "a", SERVE)
    healths = []

    def probe():
        is_up = health(tmp_path / "a.pid") is Health.SERVING
        healths.append(Health.NOT_SERVING if is_up else Health.SILENT)
        return healths[-1]

    async def scenario():
        slow = ProcessSpec(spec.name, spec.command, spec.environment, probe=probe)
        async with running(slow, liveness=LivenessPolicy(0.01, 0.01, 0.0, 60.0)) as (pool, recorder):
            await until(lambda: healths.count(Health.NOT_SERVING) > 50)
            return pool.workers[0].ready.is_set(), recorder.of("silent"), recorder.of("ready")

    assert asyncio.run(scenario()) == (False, [], [])


def test_a_process_that_hangs_before_it_is_ready_is_killed_as_well(tmp_path):
    liveness = LivenessPolicy(starting_every_seconds=0.01, starting_seconds=0.2)

    async def scenario():
        async with running(script(tmp_path, "a", "signal.pause()"), liveness=liveness) as (_, recorder):
            await until(lambda: len(recorder.of("started")) == 3)
            return recorder

    recorder = asyncio.run(scenario())
    hung = [pid for _, pid in recorder.of("silent")]
    assert hung[:2] == [pid for _, pid in recorder.of("started")][:2]
    assert [gone(pid) for pid in hung] == [True] * len(hung)


def test_a_process_that_ignores_the_stop_is_killed(tmp_path):
    body = """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ready()
        while True:
            signal.pause()
    """

    async def scenario():
        specs = script(tmp_path, "a", body), script(tmp_path, "b", SERVE)
        async with running(*specs, grace_seconds=0.5) as (pool, recorder):
            for worker in pool.workers:
                await worker.ready.wait()
        return recorder

    recorder = asyncio.run(scenario())
    assert [gone(pid_of(tmp_path, name)) for name in ("a", "b")] == [True, True]
    assert [name for name, _ in recorder.of("not_stopped")] == ["a"]
    assert recorder.of("ended") == []


def test_workers_of_a_process_that_is_killed_die_with_it(tmp_path):
    body = """
        worker = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        (folder / "worker.pid").write_text(str(worker.pid))
        ready()
        while True:
            signal.pause()
    """

    async def scenario():
        async with running(script(tmp_path, "a", body)) as (pool, _):
            await pool.workers[0].ready.wait()
            worker = pid_of(tmp_path, "worker")
            os.kill(pid_of(tmp_path, "a"), signal.SIGKILL)
            await until(lambda: gone(worker))

    asyncio.run(scenario())


def test_lines_of_all_processes_are_read_whole(tmp_path):
    body = """
        print("x" * 300_000, flush=True)
        sys.stderr.write("from standard error\\n")
        sys.stdout.write("without an end")
        sys.stdout.flush()
        ready()
        signal.pause()
    """

    async def scenario():
        async with running(script(tmp_path, "a", body)) as (pool, recorder):
            await pool.workers[0].ready.wait()
        return recorder

    assert sorted(len(text) for _, text in asyncio.run(scenario()).lines) == [14, 19, 300_000]


def test_a_parent_that_can_start_no_thread_goes_on_and_leaves_its_processes_alone(tmp_path, monkeypatch):
    start, refused = threading.Thread.start, []

    def refuse_first(thread):
        # Watching for the end of a process takes a thread on some systems, and so does the first probe.
        if len(refused) < 2:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_first)

    async def scenario():
        async with running(script(tmp_path, "a", SERVE)) as (pool, recorder):
            await asyncio.wait_for(pool.workers[0].ready.wait(), 20)
            pool.raise_defects()
            return recorder

    recorder = asyncio.run(scenario())
    assert len(refused) == 2
    assert {how.reason for _, how, _ in recorder.of("ended")} <= {"no start: can't start new thread"}


def test_a_defect_of_a_probe_is_raised_and_leaves_nothing_behind(tmp_path):
    spec = script(tmp_path, "a", SERVE)

    def probe():
        if health(tmp_path / "a.pid") is Health.SERVING:
            raise KeyError("no probe")
        return Health.SILENT

    async def scenario():
        broken = ProcessSpec(spec.name, spec.command, spec.environment, probe=probe)
        async with running(broken) as (pool, _):
            try:
                await asyncio.wait_for(pool.wait(asyncio.Event()), 20)
            except KeyError as error:
                return str(error)

    assert asyncio.run(scenario()) == "'no probe'"
    assert gone(pid_of(tmp_path, "a"))


def test_all_can_be_killed_at_once(tmp_path):
    async def scenario():
        async with running(script(tmp_path, "a", SERVE), script(tmp_path, "b", SERVE)) as (pool, recorder):
            for worker in pool.workers:
                await worker.ready.wait()
            pool.kill()
            await until(lambda: all(worker.pid is None for worker in pool.workers))
            return recorder.of("stopping"), recorder.of("ended")

    assert asyncio.run(scenario()) == ([], [])
    assert [gone(pid_of(tmp_path, name)) for name in ("a", "b")] == [True, True]
