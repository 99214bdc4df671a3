"""Tailorbird's runtime beside what a user would write instead: `python -m benchmarks.by_hand`.

The other side is an application of FastAPI (`benchmarks.by_hand_app`) that asks a model of `implicit`, trained by
alternating least squares on the same interactions, and answers JSON over HTTP/1.1. Ours answers protobuf over gRPC, as
a backend would call it. Both answer 25 items with scores; the other leaves out what the user has seen. h2load presses
both in alternating rounds of one run, with as many calls in progress; each round asks for other users.

Both are asked for the users' next item, which was held out of the training: the share of users for whom it is among the
25, of the whole catalogue. So the speeds are those of models that are worth comparing.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil
from rich.console import Console

from benchmarks.generated_data import hold_out_last, planted_tastes
from benchmarks.load.h2load import Call, Load, LoadResult, h2load_path, run_load
from benchmarks.load.http1 import run_url_load
from benchmarks.load.rounds import alternate, refuse_wrong, shares_of, summary
from benchmarks.processes import free_base, running_process
from benchmarks.report import markdown_table, publish
from benchmarks.serving import explored_bytes
from benchmarks.system import System, deployed_once, kept_folder, running_system
from cli.demo.generated import generate
from cli.demo.items import SCHEMAS, DemoData
from cli.demo.journey import Journey
from cli.demo.run_demo import load_data
from cli.env import Env
from common.errors import Unavailable
from common.rpc import channel
from inference.result import EXPLORED
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as runtime
from protos.tailorbird.runtime.v1.runtime_service_pb2_grpc import RuntimeServiceStub

_METHOD: Final = "/tailorbird.runtime.v1.RuntimeService/GetRecommendations"
_RESULTS: Final = 25
_OURS: Final = "runtime"
_BY_HAND: Final = "FastAPI + implicit"
_MIB: Final = 1 << 20
#: An answer with an explored item has another size; one in forty has.
_TRIES: Final = 20


@dataclass(frozen=True, slots=True)
class Served:
    """What one side serves.

    Attributes:
        address: `host:port`.
        recall: Share of the users whose next item is among the answer's.
    """

    address: str
    recall: float


def data_of(name: str, *, users: int) -> DemoData:
    """Return a data set: `movielens`, `generated`, or a number of items with planted tastes of so many users."""
    if name == "movielens":
        return load_data(Env(os.environ).cache_dir, console=Console())
    return generate() if name == "generated" else planted_tastes(items=int(name), users=users, events=30)


def deploy(system: System, data: DemoData, *, epochs: int) -> str:
    """Import, train and serve the data; return the campaign's ARN."""
    journey = Journey(system.clients(), suffix="by-hand", patience_seconds=7200)
    journey.create_datasets(SCHEMAS)
    files = data.write_csv(system.installation.buckets / "by-hand")
    journey.import_csv({kind: f"s3://by-hand/{path.name}" for kind, path in files.items()})
    parameters = {"epochs": epochs} if epochs else {}
    solution = journey.create_solution("personal", "aws-user-personalization-v2", hyperparameters=parameters)
    return journey.create_campaign("films", journey.train(solution))


def prepare(system: System, data: DemoData, folder: Path, *, epochs: int, factors: int) -> dict[str, str]:
    """Make what both sides serve."""
    fit_by_hand(data, folder, factors=factors)
    return {"campaign": deploy(system, data, epochs=epochs)}


def fit_by_hand(data: DemoData, folder: Path, *, factors: int) -> None:
    """Train the other side's model, and write what its application reads."""
    import numpy as np
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix, save_npz
    from threadpoolctl import threadpool_limits

    users, items = sorted(data.users), sorted(data.items)
    rows = {user: row for row, user in enumerate(users)}
    columns = {item: column for column, item in enumerate(items)}
    places = np.array([(rows[entry.user], columns[entry.item]) for entry in data.interactions]).T
    seen = csr_matrix((np.ones(places.shape[1], np.float32), tuple(places)), shape=(len(users), len(items)))
    with threadpool_limits(1, "blas"):  # it runs threads of its own
        model = AlternatingLeastSquares(factors=factors, iterations=20, alpha=5.0, random_state=1)
        model.fit(seen, show_progress=False)
    model.save(str(folder / "model.npz"))
    save_npz(folder / "seen.npz", seen)
    (folder / "users.json").write_text(json.dumps(users))
    (folder / "items.json").write_text(json.dumps(items))


@contextmanager
def running_by_hand(folder: Path, *, processes: int) -> Iterator[str]:
    """Run the application, and yield its `host:port`."""
    address = f"127.0.0.1:{free_base(1)}"
    host, port = address.split(":")
    command = [sys.executable, "-m", "uvicorn", "benchmarks.by_hand_app:app", f"--host={host}", f"--port={port}"]
    command += [f"--workers={processes}", "--no-access-log", "--loop=uvloop", "--http=httptools"]
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with running_process(
        command,
        log=folder / f"by-hand-{processes}.log",
        is_ready=lambda: (folder / f"by-hand-{processes}.log").read_text().count("startup complete") == processes,
        environ={**os.environ, **threads, "BY_HAND_MODEL": str(folder)},
        stop_signal=signal.SIGTERM,
    ):
        yield address


def ask(stub: RuntimeServiceStub, campaign: str, user: str) -> tuple[list[str], Call]:
    """Return the items for a user, and the call with the size of its answer, without explored items.

    Raises:
        Unavailable: The answer has fewer items, or there is an explored one in every answer.
    """
    request = runtime.GetRecommendationsRequest(campaign_arn=campaign, user_id=user, num_results=_RESULTS)
    for _ in range(_TRIES):
        response = stub.GetRecommendations(request)
        if len(response.item_list) != _RESULTS:
            raise Unavailable(f"answer for {user}: got {len(response.item_list)} items, want {_RESULTS}")
        if not any(EXPLORED in item.reason for item in response.item_list):
            return [item.item_id for item in response.item_list], Call(request, response.ByteSize())
    raise Unavailable(f"answers for {user}: got explored items in {_TRIES}, want one without")


def ask_by_hand(address: str, user: str) -> list[str]:
    """Return the other side's items for a user."""
    with urllib.request.urlopen(f"http://{address}/recommendations/{user}", timeout=30) as response:
        return [item["itemId"] for item in json.loads(response.read())["itemList"]]


def recall(returned: Mapping[str, Sequence[str]], held: Mapping[str, str]) -> float:
    """Return the share of the users whose held-out item is among the answers."""
    return statistics.mean(held[user] in items for user, items in returned.items())


def memory_mib(program: str) -> float:
    """Return the memory of a program's processes that this one has started, each with its share of what is common."""
    started = [process for process in psutil.Process().children(recursive=True) if program in _arguments(process)]
    processes = {process for parent in started for process in (parent, *parent.children(recursive=True))}
    return sum(process.memory_full_info().pss for process in processes) / _MIB


def _arguments(process: psutil.Process) -> list[str]:
    """Return the command line of a process; nothing of one that ends at this moment."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


@dataclass(slots=True)
class Comparison:
    """Both sides with one number of processes."""

    rounds: dict[str, list[LoadResult]]
    memory: dict[str, float]
    recall: dict[str, float]

    def figures(self) -> dict[str, dict[str, Any]]:
        """Return the row of each side.

        Raises:
            Unavailable: A call failed: then the figures say nothing.
        """
        refuse_wrong(self.rounds)
        rows: dict[str, dict[str, Any]] = {}
        for side, outcomes in self.rounds.items():
            shares = shares_of(outcomes, self.rounds[_BY_HAND])
            rows[side] = {
                **summary(outcomes),
                "ratio": shares.by_calls,
                "ratio_by_cpu": shares.by_cpu,
                "recall": round(self.recall[side], 4),
                "memory_mib": round(self.memory[side]),
            }
        return rows


def compare(
    system: System,
    campaign: str,
    by_hand: str,
    *,
    held: Mapping[str, str],
    data: DemoData,
    arguments: argparse.Namespace,
) -> Comparison:
    """Ask both sides for the held-out items, then press them in turns."""
    address, token = system.ports.address("runtime_service"), system.token()
    users_with_item = sorted(held)[: max(arguments.recall_users, arguments.rounds * arguments.users)]
    with channel(address, token=token) as opened:
        stub = RuntimeServiceStub(opened)
        ours = {user: ask(stub, campaign, user) for user in users_with_item}
    theirs = {user: ask_by_hand(by_hand, user) for user in users_with_item}
    recalls = {
        _OURS: recall({user: items for user, (items, _) in ours.items()}, held),
        _BY_HAND: recall(theirs, held),
    }
    slack = explored_bytes(data.items, repeats=arguments.repeats)
    load = Load(arguments.lanes, arguments.streams, arguments.repeats)

    def press_ours(users: slice) -> LoadResult:
        calls = [ours[user][1] for user in users_with_item[users]]
        calls = [Call(call.request, call.answer_bytes, slack) for call in calls]
        return run_load(address, _METHOD, calls, load=load, token=token)

    def press_theirs(users: slice) -> LoadResult:
        return run_url_load([f"http://{by_hand}/recommendations/{user}" for user in users_with_item[users]], load=load)

    rounds = alternate({_OURS: press_ours, _BY_HAND: press_theirs}, rounds=arguments.rounds, users=arguments.users)
    memory = {_OURS: memory_mib("runtime_service"), _BY_HAND: memory_mib("uvicorn")}
    return Comparison(rounds, memory, recalls)


def measure(name: str, arguments: argparse.Namespace) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the figures of one data set, by number of processes and side; errors as of `Comparison.figures`."""
    data, held = hold_out_last(data_of(name, users=arguments.planted_users))
    figures = {}
    made_of = {"data": data.name, "users": len(data.users), "epochs": arguments.epochs, "factors": arguments.factors}
    with kept_folder(None if arguments.keep is None else arguments.keep / name) as folder:
        home = folder / "system"
        home.mkdir(exist_ok=True)
        for processes in arguments.processes:
            settings = {"TAILORBIRD_WORKERS": str(processes)}
            with running_system(home, settings=settings) as system:
                campaign = deployed_once(
                    folder,
                    made_of,
                    partial(prepare, system, data, folder, epochs=arguments.epochs, factors=arguments.factors),
                )["campaign"]
                with running_by_hand(folder, processes=processes) as by_hand:
                    compared = compare(system, campaign, by_hand, held=held, data=data, arguments=arguments)
            figures[f"{processes}"] = compared.figures()
    return figures


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", nargs="+", default=["movielens", "60000"], help="movielens, generated, or a number of planted items"
    )
    parser.add_argument("--planted-users", type=int, default=20_000, help="of planted data, 30 interactions each")
    parser.add_argument("--epochs", type=int, default=0, help="of our training; 0 for the recipe's own")
    parser.add_argument("--factors", type=int, default=64, help="of the other side's model")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="of each server")
    parser.add_argument("--recall-users", type=int, default=500, help="who are asked for their next item")
    parser.add_argument("--rounds", type=int, default=4, help="per server")
    parser.add_argument("--users", type=int, default=32, help="distinct users per round")
    parser.add_argument("--repeats", type=int, default=300, help="calls per user and round")
    parser.add_argument("--lanes", type=int, default=8, help="runs of h2load at a time")
    parser.add_argument("--streams", type=int, default=4, help="calls in flight in each")
    parser.add_argument("--keep", type=Path, help="folder in which what both sides serve is kept for the next run")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    h2load_path()  # missing tools are told before minutes of preparation
    figures = {name: measure(name, arguments) for name in arguments.data}
    rows = [
        (name, processes, side, *row.values())
        for name, by_processes in figures.items()
        for processes, sides in by_processes.items()
        for side, row in sides.items()
    ]
    columns = ("data", "processes", "server", "calls", "wrong", "calls/s", "p50 ms", "p99 ms", "server CPU µs/call")
    table = markdown_table((*columns, "ratio", "ratio by CPU", "recall@25", "memory MiB"), rows)
    names = ("planted_users", "epochs", "factors", "rounds", "users", "repeats", "lanes", "streams")
    settings = {name: getattr(arguments, name) for name in names}
    publish({"settings": settings, "figures": figures}, table=table, output=arguments.output)


if __name__ == "__main__":
    main()
