"""`tailorbird demo`: the main job on real data, from an empty directory to a list that changes with an event."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console

from cli.commands.options import DEFAULT_DATA_DIR, DataDir, PortBase
from cli.demo.journey import Interrupted, Journey, connect
from cli.demo.run_demo import Outcome, find_data, tell
from cli.demo.show import next_commands
from cli.demo.stages import Stages
from cli.env import Env, surroundings
from cli.installation import Installation
from cli.merged_log import MergedLog
from cli.output import access_key_variables
from cli.running import handle_signals, running_system
from cli.system import DEFAULT_PORT_BASE, PROCESSES, Ports
from cli.tls import tls_files
from common.access_keys import AccessKey
from common.settings import TlsFiles

__all__ = ["demo"]

_KEY_NAME = "demo"


def demo(
    context: typer.Context,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    port_base: PortBase = DEFAULT_PORT_BASE,
    non_interactive: Annotated[
        bool, typer.Option("--non-interactive", help="Stop everything at the end, also at a terminal.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the system running, also without a terminal.")] = False,
    output: Annotated[Path | None, typer.Option(help="Write figures and seconds to this file, as JSON.")] = None,
) -> None:
    """Do everything once on MovieLens 100K: import, train, serve, recommend, take events, recommend anew.

    A system that already runs in the data directory is used and left running.
    """
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    around = surroundings(context)
    tls = tls_files(around.environ)
    ports = Ports(port_base, secure=tls is not None)
    runner = _Demo(Installation(data_dir), ports, surroundings=around, output=output)
    if (running := runner.installation.running()) is not None:
        runner.console.print(f"Using the system that runs at {running.endpoint}.", highlight=False)
        runner.perform(running.endpoint, running.tls)
        return
    asyncio.run(runner.with_own_system(stay=keep or (interactive and not non_interactive)))


class _Demo:
    """One run of the demo."""

    def __init__(self, installation: Installation, ports: Ports, *, surroundings: Env, output: Path | None) -> None:
        self.console = Console()
        self.installation = installation
        self._ports = ports
        self._surroundings = surroundings
        self._output = output
        self._stages = Stages(self.console)
        self._journey: Journey | None = None

    async def with_own_system(self, *, stay: bool) -> None:
        """Start the system, perform, and stop it, at once or when the person says so."""
        self.installation.prepare()
        tls = tls_files(self._surroundings.environ)
        path = self.installation.root / "demo.log"
        with (
            path.open("w", encoding="utf-8") as file,
            closing(MergedLog(PROCESSES, console=MergedLog.file_console(file))) as log,
        ):
            started = time.perf_counter()
            async with running_system(
                self.installation, self._ports, environ=self._surroundings.environ, output=log
            ) as supervisor:
                stop = handle_signals(supervisor)
                with self._stages.stage("start", f"Start of {len(PROCESSES)} processes; their log: {path}"):
                    await supervisor.start(stop=stop)
                if stop.is_set():
                    raise typer.Exit(130)
                performing = asyncio.create_task(asyncio.to_thread(self.perform, self._ports.endpoint, tls))
                watching = asyncio.create_task(supervisor.watch(stop))
                await asyncio.wait([performing, watching], return_when=asyncio.FIRST_COMPLETED)
                if not performing.done():
                    self._interrupt()
                try:
                    await performing
                except Interrupted:
                    raise typer.Exit(130) from None
                self.console.print(f"[dim]{time.perf_counter() - started:.0f} s in all.[/]", highlight=False)
                if stay:
                    self.console.print("The system keeps running; its log follows. Ctrl-C stops everything.")
                    log.move_to(self.console)
                    await watching
                watching.cancel()
        self.console.print("Everything is stopped.")

    def perform(self, endpoint: str, tls: TlsFiles | None) -> None:
        """Do the main job against a running system, and write down what was measured."""
        key = self._access_key()
        journey = Journey(
            connect(
                endpoint,
                access_key_id=key.access_key_id,
                secret_access_key=key.secret_access_key,
                ca_file=tls.ca_file if tls else None,
            ),
            suffix=f"{datetime.now(UTC):%Y%m%d-%H%M%S}",
        )
        self._journey = journey
        with self._stages.stage("data", "MovieLens 100K from the package index, or its cache"):
            data = find_data(self._surroundings.cache_dir, console=self.console)
        outcome = tell(journey, data, buckets=self.installation.buckets, console=self.console, stages=self._stages)
        self._finish(outcome, endpoint=endpoint, key=key, tls=tls)

    def _finish(self, outcome: Outcome, *, endpoint: str, key: AccessKey, tls: TlsFiles | None) -> None:
        seconds = "  ".join(f"{name} {taken:.1f}" for name, taken in self._stages.seconds.items())
        self.console.print(f"Seconds: {seconds}", highlight=False)
        if self._output is not None:
            self._output.write_text(json.dumps(outcome.record, indent=2) + "\n")
        where = f" --data-dir {shlex.quote(str(self.installation.root.resolve()))}"
        self.console.print(
            next_commands(
                endpoint=endpoint,
                control_plane=Ports(urlsplit(endpoint).port or DEFAULT_PORT_BASE).address("control_plane"),
                access_key=self._shown(key),
                campaign_arn=outcome.campaign_arn,
                user=outcome.user,
                where=where,
                tls=tls,
            )
        )

    def _shown(self, key: AccessKey) -> list[str]:
        """Return the lines that say what to sign with; a secret is for a terminal, everything else is kept."""
        if self.console.file.isatty():
            return access_key_variables(key)
        kept = self.installation.access_keys_file.resolve()
        return [f"# an access key: {key.access_key_id}, its secret is kept in {kept}"]

    def _access_key(self) -> AccessKey:
        """Make a key; those of earlier demos, whose secrets scrolled by on a screen, end here."""
        keys = self.installation.access_keys()
        for key in keys.list():
            if key.name == _KEY_NAME and key.active:
                keys.revoke(key.access_key_id)
        return keys.create(_KEY_NAME)

    def _interrupt(self) -> None:
        if self._journey is not None:
            self._journey.interrupted.set()
