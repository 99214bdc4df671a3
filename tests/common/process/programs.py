"""Small real processes for tests: scripts that say when they are ready by a file, and probes that read it."""

import asyncio
import os
import sys
import textwrap

import psutil

from common.process.executed import ProcessSpec
from common.process.probing import Health


def script(folder, name, body):
    """Return the spec of a process that is ready once it wrote its process id to `NAME.pid`."""
    pid_file = folder / f"{name}.pid"
    head = f"""
        import os, pathlib, signal, subprocess, sys, time
        folder, name = pathlib.Path({str(folder)!r}), {name!r}
        def ready():
            (folder / "starts").open("a").write(name + "\\n")
            (folder / f"{{name}}.part").write_text(str(os.getpid()))
            (folder / f"{{name}}.part").rename(folder / f"{{name}}.pid")
    """
    path = folder / f"{name}.py"
    path.write_text(textwrap.dedent(head) + textwrap.dedent(body))
    return ProcessSpec(name, (sys.executable, str(path)), {"PATH": os.environ["PATH"]}, probe=lambda: health(pid_file))


def health(pid_file):
    """Serving once the file is there, unless the process is stopped: then nothing answers."""
    if not pid_file.exists():
        return Health.SILENT
    try:
        status = psutil.Process(int(pid_file.read_text())).status()
    except psutil.NoSuchProcess:
        return Health.SILENT
    return Health.SILENT if status == psutil.STATUS_STOPPED else Health.SERVING


def pid_of(folder, name):
    return int((folder / f"{name}.pid").read_text())


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until(condition):
    async with asyncio.timeout(20):
        while not (value := condition()):
            await asyncio.sleep(0.01)  # polls a condition; the test ends by it, not by the time
    return value


SERVE = """
    ready()
    while True:
        signal.pause()
"""
