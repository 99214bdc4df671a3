"""`tailorbird demo`: the whole workflow on real data, from an empty directory to recommendations that events change."""

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

import typer
from rich.console import Console

from cli.commands.options import DEFAULT_DATA_DIR, DataDir, PortBase
from cli.demo.journey import Interrupted, Journey, connect
from cli.demo.output import StageTimer, next_commands
from cli.demo.run_demo import Outcome, load_data, run_demo
from cli.env import Env, get_env
from cli.installation import Installation
from cli.merged_log import MergedLog
from cli.output import access_key_variables, tailorbird
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
    env = get_env(context)
    tls = tls_files(env.environ)
    ports = Ports(port_base, secure=tls is not None)
    runner = _DemoRunner(Installation(data_dir), ports, env=env, output=output)
    if (running := runner.installation.running()) is not None:
        runner.console.print(f"Using the system that runs at {running.endpoint}.", highlight=False)
        runner.run_steps(running.endpoint, running.tls)
        return
    asyncio.run(runner.run_with_system(stay=keep or (interactive and not non_interactive)))


class _DemoRunner:
    """Runs the demo once.

    Args:
        installation: The data directory.
        ports: Ports of the system, if the demo starts it.
        env: The environment of the command.
        output: File for the figures; None for none.
    """

    def __init__(self, installation: Installation, ports: Ports, *, env: Env, output: Path | None) -> None:
        self.console = Console()
        self.installation = installation
        self._ports = ports
        self._env = env
        self._output = output
        self._timer = StageTimer(self.console)
        self._journey: Journey | None = None

    async def run_with_system(self, *, stay: bool) -> None:
        """Start the system, run the steps and stop it: at once, or with `stay` when the person interrupts it."""
        self.installation.prepare()
        tls = tls_files(self._env.environ)
        path = self.installation.root / "demo.log"
        with (
            path.open("w", encoding="utf-8") as file,
            closing(MergedLog(PROCESSES, console=MergedLog.file_console(file))) as log,
        ):
            started = time.perf_counter()
            async with running_system(
                self.installation, self._ports, environ=self._env.environ, output=log
            ) as supervisor:
                stop = handle_signals(supervisor)
                with self._timer.stage("start", f"Start of {len(PROCESSES)} processes; their log: {path}"):
                    await supervisor.start(stop=stop)
                if stop.is_set():
                    raise typer.Exit(130)
                running_steps = asyncio.create_task(asyncio.to_thread(self.run_steps, self._ports.endpoint, tls))
                supervising = asyncio.create_task(supervisor.watch(stop))
                await asyncio.wait([running_steps, supervising], return_when=asyncio.FIRST_COMPLETED)
                if not running_steps.done():
                    self._interrupt()
                try:
                    await running_steps
                except Interrupted:
                    raise typer.Exit(130) from None
                self.console.print(f"[dim]{time.perf_counter() - started:.0f} s in all.[/]", highlight=False)
                if stay:
                    self.console.print("The system keeps running; its log follows. Ctrl-C stops everything.")
                    log.move_to(self.console)
                    await supervising
                supervising.cancel()
        self.console.print("Everything is stopped.")

    def run_steps(self, endpoint: str, tls: TlsFiles | None) -> None:
        """Run the steps of the demo against a running system, and print and write the results."""
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
        with self._timer.stage("data", "MovieLens 100K from the package index, or its cache"):
            data = load_data(self._env.cache_dir, console=self.console)
        outcome = run_demo(journey, data, buckets=self.installation.buckets, console=self.console, timer=self._timer)
        self._print_outcome(outcome, endpoint=endpoint, key=key, tls=tls)

    def _print_outcome(self, outcome: Outcome, *, endpoint: str, key: AccessKey, tls: TlsFiles | None) -> None:
        seconds = "  ".join(f"{name} {taken:.1f}" for name, taken in self._timer.seconds.items())
        self.console.print(f"Seconds: {seconds}", highlight=False)
        if self._output is not None:
            self._output.write_text(json.dumps(outcome.record, indent=2) + "\n")
        data_dir_option = f" --data-dir {shlex.quote(str(self.installation.root.resolve()))}"
        self.console.print(
            next_commands(
                endpoint=endpoint,
                control_plane=Ports.of_endpoint(endpoint).address("control_plane"),
                access_key=self._key_lines(key),
                campaign_arn=outcome.campaign_arn,
                user=outcome.user,
                data_dir_option=data_dir_option,
                tls=tls,
            )
        )

    def _key_lines(self, key: AccessKey) -> list[str]:
        """Return the shell commands that set the access key; without its secret where the output is no terminal."""
        if self.console.file.isatty():
            return access_key_variables(key)
        create = f"{tailorbird()} keys create NAME --data-dir {shlex.quote(str(self.installation.root.resolve()))}"
        return [f"# an access key: {key.access_key_id}, its secret is in no log; one that you see: {create}"]

    def _access_key(self) -> AccessKey:
        """Create an access key, and revoke those of earlier demos, whose secrets were shown on a screen."""
        keys = self.installation.access_keys(self._env.master_keys())
        for key in keys.list():
            if key.name == _KEY_NAME and key.active:
                keys.revoke(key.access_key_id)
        return keys.create(_KEY_NAME)

    def _interrupt(self) -> None:
        if self._journey is not None:
            self._journey.interrupted.set()
