"""Where a load goes: a system that is started for it, the echo server, or what a file says."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.echo import echo_server, list_of_items
from benchmarks.gateway import running_gateway
from benchmarks.load.mix import Target
from benchmarks.system import System, deployed_once, running_system
from cli.demo.generated import generate
from cli.demo.items import EVENT, SCHEMAS, DemoData
from cli.demo.journey import Journey
from cli.demo.run_demo import load_data
from cli.env import Env
from common.access_keys import AccessKeys

__all__ = ["add_target_options", "running_target"]

_RESULTS: Final = 25
#: What serves is measured, not what is learnt.
_EPOCHS: Final = {"epochs": 3}


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `running_target` reads."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--target", type=Path, help="file of a target that runs already (benchmarks.load.mix.Target)")
    where.add_argument("--echo", action="store_true", help="the echo server, to see what the generator itself can do")
    where.add_argument(
        "--generated", action="store_true", help="a system with a generated catalogue, not MovieLens 100K"
    )
    parser.add_argument("--keep", type=Path, help="folder in which the system is kept for the next run")
    parser.add_argument("--workers", type=int, default=2, help="processes of the server")


@contextmanager
def running_target(arguments: argparse.Namespace, folder: Path) -> Iterator[Path]:
    """Yield the file of a target that runs until the end.

    Raises:
        Unavailable: It did not start.
    """
    path = folder / "target.json"
    if arguments.target is not None:
        yield arguments.target
    elif arguments.echo:
        with _echo(arguments.workers, folder) as target:
            target.write(path)
            yield path
    else:
        data = generate() if arguments.generated else load_data(Env(os.environ).cache_dir, console=Console())
        home = folder / "system" if arguments.keep is None else arguments.keep
        home.mkdir(parents=True, exist_ok=True)
        settings = {"TAILORBIRD_WORKERS": str(arguments.workers)}
        with running_system(home, settings=settings) as system:
            deployed = deployed_once(home, {"data": data.name, **_EPOCHS}, partial(_deploy, system, data))
            _target(system, data, deployed).write(path)
            yield path


@contextmanager
def _echo(processes: int, folder: Path) -> Iterator[Target]:
    keys = AccessKeys(folder / "access_keys.json")
    key = keys.create("benchmark")
    with (
        echo_server(list_of_items(_RESULTS), processes=processes, folder=folder) as echo,
        running_gateway(echo, keys, processes=1, folder=folder) as gateway,
    ):
        yield Target(
            runtime=echo,
            events=echo,
            token="of no server that checks it",
            endpoint=f"http://{gateway}",
            access_key=(key.access_key_id, key.secret_access_key),
            **dict.fromkeys(
                ("campaign", "related", "ranking"), "arn:aws:personalize:us-east-1:000000000000:campaign/echo"
            ),
            tracking_id="0" * 36,
            event_type=EVENT,
            users=[f"user-{number}" for number in range(1000)],
            items=[f"item-{number}" for number in range(1000)],
        )


def _deploy(system: System, data: DemoData) -> dict[str, str]:
    """Import, train and serve the data; return the ARNs of the campaigns and the id of the event tracker."""
    journey = Journey(system.clients(), suffix="load")
    journey.create_datasets(SCHEMAS)
    files = data.write_csv(system.installation.buckets / "load")
    journey.import_csv({kind: f"s3://load/{path.name}" for kind, path in files.items()})
    deployed = {}
    for name, recipe, hyperparameters in (
        ("campaign", "aws-user-personalization-v2", _EPOCHS),
        ("related", "aws-sims", {}),
        ("ranking", "aws-personalized-ranking-v2", _EPOCHS),
    ):
        solution = journey.create_solution(name, recipe, hyperparameters=hyperparameters)
        deployed[name] = journey.create_campaign(name, journey.train(solution))
    return {**deployed, "tracking_id": journey.create_event_tracker()}


def _target(system: System, data: DemoData, deployed: Mapping[str, str]) -> Target:
    key = system.installation.access_keys().create("load")
    return Target(
        runtime=system.ports.address("runtime_service"),
        events=system.ports.address("events_service"),
        token=system.token(),
        endpoint=system.ports.endpoint,
        access_key=(key.access_key_id, key.secret_access_key),
        **deployed,
        event_type=EVENT,
        users=sorted(data.users),
        items=sorted(data.items),
    )
