"""The supervisor, with real small processes."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cli.supervisor import StartFailed, Supervisor
from cli.supervisor.supervisor import RESTARTS
from common.process.backoff import BackoffPolicy
from common.process.executed import ProcessSpec
from common.process.probing import Health, LivenessPolicy
from common.process.worker_pool import RestartPolicy
from common.testing import wait_until
from tests.common.process.programs import SERVE, gone, pid_of, script, until

ROOT = Path(__file__).resolve().parents[3]
QUICK = RestartPolicy(BackoffPolicy(first_seconds=0.05, longest_seconds=0.4), steady_seconds=60.0)


class Recorded:
    """An output that keeps everything."""

    def __init__(self):
        self.lines = []
        self.notes = []

    def line(self, process, text):
        self.lines.append((process, text))

    def note(self, event, *, level="info", **fields):
        self.notes.append((event, fields))

    def events(self, event):
        return [fields for name, fields in self.notes if name == event]


def test_all_processes_are_ready_after_the_start_and_gone_after_the_end(tmp_path):
    output = Recorded()

    async def scenario():
        async with Supervisor([script(tmp_path, "a", SERVE), script(tmp_path, "b", SERVE)], output=output) as running:
            await running.start()
            return [worker.ready.is_set() for worker in running.workers], [worker.pid for worker in running.workers]

    are_ready, pids = asyncio.run(scenario())
    assert are_ready == [True, True]
    assert [gone(pid) for pid in pids] == [True, True]


def test_processes_stop_in_reverse_order(tmp_path):
    body = """
        def stop(*_):
            (folder / "stops").open("a").write(name + "\\n")
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        ready()
        while True:
            signal.pause()
    """

    async def scenario():
        specs = [script(tmp_path, name, body) for name in ("first", "second", "third")]
        async with Supervisor(specs, output=Recorded()) as running:
            await running.start()

    asyncio.run(scenario())
    assert (tmp_path / "stops").read_text().split() == ["third", "second", "first"]


def test_pauses_between_restarts_grow_and_are_told(tmp_path):
    output = Recorded()
    body = """
        ready()
        sys.exit(3)
    """

    async def scenario():
        async with Supervisor([script(tmp_path, "a", body)], output=output, restarts=QUICK) as running:
            starting = asyncio.create_task(running.start())
            await until(lambda: len(output.events("process ended, will be restarted")) == 5)
            starting.cancel()

    asyncio.run(scenario())
    ends = output.events("process ended, will be restarted")
    assert [fields["restart_in_seconds"] for fields in ends] == [0.05, 0.1, 0.2, 0.4, 0.4]
    assert {fields["ended_by"] for fields in ends} == {"exit status 3"}


def test_however_often_a_process_ends_it_is_back_within_ten_seconds():
    assert max(RESTARTS.pause_seconds(ends) for ends in range(1, 200)) <= 10


class Broken(Recorded):
    """An output that raises while it is told to."""

    broken = True

    def line(self, process, text):
        self._raise()
        super().line(process, text)

    def note(self, event, *, level="info", **fields):
        self._raise()
        super().note(event, level=level, **fields)

    def _raise(self):
        if self.broken:
            raise OSError(28, "No space left on device")


def test_an_output_that_fails_costs_lines_and_no_process(tmp_path):
    output = Broken()
    body = """
        ready()
        for place in range(3000):
            print("x" * 100, flush=True)
        (folder / f"{os.getpid()}.printed").touch()
        signal.pause()
    """

    async def scenario():
        spec = script(tmp_path, "a", body)
        async with Supervisor([spec, script(tmp_path, "b", SERVE)], output=output, restarts=QUICK) as running:
            await running.start()
            first, other = pid_of(tmp_path, "a"), pid_of(tmp_path, "b")
            # More than a pipe holds: somebody still reads.
            await until((tmp_path / f"{first}.printed").exists)
            os.kill(first, signal.SIGKILL)
            await until(lambda: pid_of(tmp_path, "a") != first)
            watching = asyncio.create_task(running.watch(asyncio.Event()))
            output.broken = False
            await until((tmp_path / f"{pid_of(tmp_path, 'a')}.printed").exists)
            await until(lambda: output.events("lines of the log could not be shown"))
            running_on = not watching.done()
            watching.cancel()
            return running_on, pid_of(tmp_path, "b") == other

    assert asyncio.run(scenario()) == (True, True)
    (notes,) = output.events("lines of the log could not be shown")
    assert notes["lost"] >= 3000


LIVENESS = LivenessPolicy(every_seconds=0.05, silent_seconds=0.2)


def test_a_process_that_hangs_is_killed_and_started_again(tmp_path):
    output = Recorded()

    async def scenario():
        specs = [script(tmp_path, name, SERVE) for name in ("a", "b")]
        async with Supervisor(specs, output=output, restarts=QUICK, liveness=LIVENESS) as running:
            await running.start()
            first, other = pid_of(tmp_path, "a"), pid_of(tmp_path, "b")
            os.kill(first, signal.SIGSTOP)
            await until(lambda: pid_of(tmp_path, "a") != first)
            await running.workers[0].ready.wait()
            return gone(first), pid_of(tmp_path, "b") == other

    assert asyncio.run(scenario()) == (True, True)
    assert [fields["process"] for fields in output.events("does not answer, killing it")] == ["a"]
    (ended,) = output.events("process ended, will be restarted")
    assert ended["ended_by"] == "SIGKILL"


def test_a_defect_during_the_stop_is_raised_and_leaves_nothing_behind(tmp_path):
    body = """
        signal.signal(signal.SIGTERM, lambda *_: (folder / "stops").touch())
        ready()
        while True:
            signal.pause()
    """
    spec = script(tmp_path, "a", body)

    def probe():
        if (tmp_path / "stops").exists():
            raise KeyError("no probe")
        return spec.probe()

    async def scenario():
        broken = ProcessSpec(spec.name, spec.command, spec.environment, probe=probe)
        async with Supervisor([broken], output=Recorded(), liveness=LIVENESS, grace_seconds=60) as running:
            await running.start()

    with pytest.raises(KeyError, match="no probe"):
        asyncio.run(scenario())
    assert gone(pid_of(tmp_path, "a"))


def test_a_machine_out_of_processes_is_waited_for(tmp_path):
    output = Recorded()
    spec = script(tmp_path, "a", SERVE)
    broken = ProcessSpec("b", ("x" * 200_000,) * 40, spec.environment, probe=lambda: Health.SILENT)

    async def scenario():
        async with Supervisor([spec, broken], output=output, restarts=QUICK) as running:
            starting = asyncio.create_task(running.start())
            await running.workers[0].ready.wait()
            await until(lambda: len(output.events("process ended, will be restarted")) >= 2)
            starting.cancel()
            return running.workers[0].ready.is_set()

    assert asyncio.run(scenario())
    notes = output.events("process ended, will be restarted")
    assert {fields["ended_by"] for fields in notes} == {"no start: Argument list too long"}


def test_the_start_fails_with_the_last_lines_of_a_process_that_cannot_run(tmp_path):
    spec = script(tmp_path, "a", 'sys.exit("`listen`: got no sense")')

    async def scenario():
        async with Supervisor([spec, script(tmp_path, "b", SERVE)], output=Recorded(), restarts=QUICK) as running:
            await running.start()

    with pytest.raises(StartFailed, match=r"a ended again and again[\s\S]*got no sense"):
        asyncio.run(scenario())
    assert not (tmp_path / "b.pid").exists() or gone(pid_of(tmp_path, "b"))


def test_the_start_fails_when_a_process_is_never_ready(tmp_path):
    spec = script(tmp_path, "a", "signal.pause()")

    async def scenario():
        async with Supervisor([spec], output=Recorded(), start_seconds=0.3) as running:
            await running.start()

    with pytest.raises(StartFailed, match=r"not ready within 0\.3 s"):
        asyncio.run(scenario())


def test_a_killed_supervisor_leaves_no_process_behind(tmp_path):
    body = """
        worker = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=False)
        (folder / "worker.pid").write_text(str(worker.pid))
        ready()
        while True:
            signal.pause()
    """
    script(tmp_path, "a", body)
    program = f"""
        import asyncio, os, sys
        from pathlib import Path
        from cli.supervisor import Supervisor
        from common.process.executed import ProcessSpec
        from common.process.probing import Health
        class Quiet:
            def line(self, process, text): pass
            def note(self, event, **fields): pass
        spec = ProcessSpec(
            "a", (sys.executable, {str(tmp_path / "a.py")!r}), dict(os.environ),
            probe=lambda: Health.SERVING if Path({str(tmp_path / "a.pid")!r}).exists() else Health.SILENT,
        )
        async def main():
            async with Supervisor([spec], output=Quiet()) as running:
                await running.start()
                await running.watch(asyncio.Event())
        asyncio.run(main())
    """
    supervisor = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT)
    try:
        wait_until((tmp_path / "a.pid").exists)
        pids = [pid_of(tmp_path, "a"), pid_of(tmp_path, "worker")]
    finally:
        supervisor.kill()
        supervisor.wait()
    assert wait_until(lambda: all(gone(pid) for pid in pids))
