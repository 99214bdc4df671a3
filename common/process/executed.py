"""One supervised process: started, probed, started again when it ends or answers no more, stopped for good.

Each start is a session and process group of its own, so a Ctrl-C at the terminal reaches only the supervisor, which
stops everything in order, and whatever a dead process leaves behind is killed with its group.
"""

from __future__ import annotations

import asyncio
import enum
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cli.supervisor.output import Output
from cli.supervisor.policies import LivenessPolicy, RestartPolicy
from cli.supervisor.probes import Probe
from common.rpc.probe import Health

__all__ = ["ManagedProcess", "ProcessSpec", "State"]

_LAUNCHER = Path(__file__).with_name("launch.py")
_CHUNK_BYTES = 64 * 1024
_MAX_LINE_BYTES = 1024 * 1024
_TAIL_LINES = 15
#: Time for the output of a dead process to end, once its group is killed.
_DRAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What to run.

    Attributes:
        name: Shown in the log; unique.
        command: Program and arguments.
        environment: The whole environment, nothing is inherited.
        probe: Asks whether it is ready, and whether it answers at all.
        address: Where it listens, for people; empty when nowhere.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    probe: Probe
    address: str = ""


class State(enum.Enum):
    """Where a process is in its life."""

    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting to be restarted"
    STOPPED = "stopped"


class ManagedProcess:
    """Keeps one process running.

    Args:
        spec: What to run.
        output: Where its lines go; must not raise.
        policy: When to start it again.
        liveness: When to take it for hung.
        grace_seconds: Time between the request to stop and the kill.
    """

    def __init__(
        self,
        spec: ProcessSpec,
        *,
        output: Output,
        policy: RestartPolicy,
        liveness: LivenessPolicy,
        grace_seconds: float,
    ) -> None:
        self.spec = spec
        self.state = State.STOPPED
        self.ready = asyncio.Event()
        #: Crashes in a row.
        self.crashes = 0
        #: The newest lines, for the report when it cannot be started.
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._output = output
        self._policy = policy
        self._liveness = liveness
        self._grace_seconds = grace_seconds
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Process id, None while it does not run."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def keep_running(self) -> None:
        """Start, and start again after every end, until `stop` is called."""
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            self.state = State.STARTING
            started = loop.time()
            try:
                ended_by = describe_exit(await self._run_once())
            except OSError as error:
                # Out of processes or files: that passes, and the others need their supervisor meanwhile.
                ended_by = f"no start: {error.strerror}"
                self.tail.append(ended_by)
            self.ready.clear()
            if self._stopping.is_set():
                break
            self.crashes = 1 if loop.time() - started >= self._policy.steady_seconds else self.crashes + 1
            pause = self._policy.pause(self.crashes)
            self.state = State.WAITING
            self._output.note(
                "process ended, will be restarted",
                level="error",
                process=self.spec.name,
                ended_by=ended_by,
                in_a_row=self.crashes,
                restart_in_seconds=pause,
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
        self.state = State.STOPPED

    async def stop(self) -> None:
        """Ask it to stop, kill it when it does not within the grace."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        # Between the look and the signal it may have ended by itself.
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self._grace_seconds)
        except TimeoutError:
            self._output.note(
                "did not stop in time, killing it",
                level="warning",
                process=self.spec.name,
                grace_seconds=self._grace_seconds,
            )
            self.kill()
            await process.wait()

    def kill(self) -> None:
        """Kill it with its whole process group, now."""
        self._stopping.set()
        self._kill_group()

    def _kill_group(self) -> None:
        if (pid := self.pid) is not None:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    async def _run_once(self) -> int:
        lifeline, held = os.pipe()
        try:
            process, lines = await self._spawn(lifeline)
            self._process = process
            if self._stopping.is_set():
                # `stop` came while it was being started and saw nothing to stop.
                self.kill()
            reader = asyncio.create_task(self._read(lines))
            prober = asyncio.create_task(self._watch_health())
            try:
                code = await process.wait()
            finally:
                prober.cancel()
        finally:
            # Letting go makes the guard kill what is left of the group.
            os.close(held)
        await asyncio.wait([reader], timeout=_DRAIN_SECONDS)
        reader.cancel()
        await asyncio.wait([reader])
        return code

    async def _spawn(self, lifeline: int) -> tuple[asyncio.subprocess.Process, IO[bytes]]:
        # A pipe of our own: asyncio's would have `wait` last until workers that inherited it are gone, too.
        try:
            read_end, write_end = os.pipe()
        except OSError:
            os.close(lifeline)
            raise
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-IS",  # the launcher needs nothing but the standard library: it is gone within 20 ms
                str(_LAUNCHER),
                str(os.getpid()),
                str(lifeline),
                *self.spec.command,
                env=dict(self.spec.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(lifeline,),
                start_new_session=True,
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(lifeline)
            os.close(write_end)
        return process, os.fdopen(read_end, "rb", buffering=0)

    async def _watch_health(self) -> None:
        """Tell when it is ready, and kill it when it answers nothing for too long, before or after that."""
        loop = asyncio.get_running_loop()
        started = answered = loop.time()
        failed = 0
        while True:
            health = await asyncio.to_thread(self.spec.probe)
            now = loop.time()
            if health is Health.SILENT:
                failed += 1
            else:
                failed, answered = 0, now
            if health is Health.SERVING and self.state is State.STARTING:
                self.state = State.READY
                self.ready.set()
                fields = {"address": self.spec.address} if self.spec.address else {}
                self._output.note("ready", process=self.spec.name, seconds=round(now - started, 1), **fields)
            starting = self.state is State.STARTING
            patience = self._liveness.starting_seconds if starting else self._liveness.silent_seconds
            if failed >= self._liveness.least_probes and now - answered >= patience and not self._stopping.is_set():
                self._output.note(
                    "does not answer, killing it",
                    level="error",
                    process=self.spec.name,
                    silent_seconds=round(now - answered, 1),
                )
                self._kill_group()
                return
            await asyncio.sleep(self._liveness.starting_every_seconds if starting else self._liveness.every_seconds)

    async def _read(self, file: IO[bytes]) -> None:
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), file
        )
        rest = b""
        try:
            while chunk := await stream.read(_CHUNK_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > _MAX_LINE_BYTES:
                    lines.append(rest)
                    rest = b""
                for line in lines:
                    self._take(line)
        finally:
            transport.close()
            if rest:
                self._take(rest)

    def _take(self, raw: bytes) -> None:
        text = raw.decode(errors="replace").rstrip()
        if text:
            self.tail.append(text)
            self._output.line(self.spec.name, text)


def describe_exit(code: int) -> str:
    """Return an exit status in words: `exit status 1` or `SIGKILL`."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
