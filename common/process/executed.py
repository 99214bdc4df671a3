"""Programs that are executed by a parent that reads their output and probes them, and cannot outlive it.

Each start is a session and process group of its own, so a Ctrl-C at the terminal reaches only the parent, which stops
everything in order, and whatever a dead process leaves behind is killed with its group.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from common.process.probing import LivenessPolicy, Probe, is_out_of_threads, probe_until_silent

__all__ = ["ExecutedProgram", "ProcessSpec"]

_LAUNCHER: Final = Path(__file__).with_name("launch.py")
_CHUNK_BYTES: Final = 64 * 1024
_MAX_LINE_BYTES: Final = 1024 * 1024
_TAIL_LINES: Final = 15
#: Time for the output of a dead process to end, once its group is killed.
_DRAIN_SECONDS: Final = 2.0


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


class ExecutedProgram:
    """A program with its probe and its output; see `worker_pool.Program`.

    Args:
        spec: What to run.
        on_line: Called with each line that it writes; must not raise.
        liveness: When to take it for hung.
    """

    def __init__(self, spec: ProcessSpec, *, on_line: Callable[[str], None], liveness: LivenessPolicy) -> None:
        self.spec = spec
        #: The newest lines of all its processes, for the report when it cannot be started.
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._on_line = on_line
        self._liveness = liveness

    @property
    def name(self) -> str:
        """The name of the spec."""
        return self.spec.name

    async def start(self) -> _ExecutedChild:
        """Start a process; its output is read until it ends."""
        try:
            read_end, held_end = os.pipe()
            try:
                process, output = await self._spawn(read_end)
            except BaseException as error:
                os.close(held_end)
                if isinstance(error, RuntimeError) and is_out_of_threads(error):
                    # Waiting for the end of a child takes a thread, too.
                    raise OSError(errno.EAGAIN, str(error)) from error
                raise
        except OSError as error:
            self.tail.append(f"no start: {error.strerror}")
            raise
        return _ExecutedChild(process, lifeline=held_end, reader=asyncio.create_task(self._read(output)))

    async def watch(self, on_ready: Callable[[], None]) -> float:
        """Probe it until it answers no more."""
        return await probe_until_silent(self.spec.probe, self._liveness, on_ready=on_ready)

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
            self._on_line(text)


class _ExecutedChild:
    """A process of the launcher, and then of the command; see `worker_pool.Child`."""

    def __init__(self, process: asyncio.subprocess.Process, *, lifeline: int, reader: asyncio.Task[None]) -> None:
        self._process = process
        self._lifeline = lifeline
        self._reader = reader

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def wait(self) -> int:
        return await self._process.wait()

    def terminate(self) -> None:
        # Between the look and the signal it may have ended by itself.
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        if self.running:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def close(self) -> None:
        # Letting go makes the guard kill what is left of the group.
        os.close(self._lifeline)
        await asyncio.wait([self._reader], timeout=_DRAIN_SECONDS)
        self._reader.cancel()
        await asyncio.wait([self._reader])
