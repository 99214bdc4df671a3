"""Users per second of a batch inference job: `python -m benchmarks.batch`.

A job of a planted artifact (see `benchmarks.planted`) answers a file of users, from its input to its published output,
in a process of its own, as a trainer does it. In the same run the same vectors are multiplied and searched by two plain
programs, in alternating rounds on as many processors:

- `BLAS`: the product of blocks of users and all items, and the best of each row, in as many processes with one thread
  of BLAS each; nothing is read, looked up or written. Twice: with the partition of NumPy, and with the search for the
  best that Tailorbird has in machine code.
- `implicit`: `recommend` of a model of matrix factorisation with these vectors, for all users at once, in as many
  threads; nothing is read or written there either.

Where others use the machine as well, processor time is the surer figure. That of the job has everything in it, also
that its processes start and open the artifact; that of the others the products and searches alone.

Peak memory is that of the job's process and of those that answer for it: what is mapped counts for each in part.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.planted import Planted, plant
from benchmarks.products import RESULTS, Speed, cpu_seconds, run_blas, run_implicit
from benchmarks.report import markdown_table, publish
from common.compute.local import LocalCompute
from common.files.locations import INPUT_PATH, OUTPUT_PATH
from common.files.outputs import Outputs
from common.settings import StoreSettings
from common.storage.objects import open_store
from protos.tailorbird.internal.v1.jobs_pb2 import BatchInferencePayload
from trainer.batch.inference_handler import BatchInferenceJobHandler
from trainer.batch.inputs import PART_LINES
from trainer.batch.runner import BatchRunner
from trainer.batch.scoring import Question, Setup, answer
from trainer.files.sources import Sources
from trainer.flushing import Flushed
from trainer.worker import JobContext, NullJobContext
from trainer.workspace import Workspace

_JOB: Final = "batch job"
_BLAS, _BLAS_COMPILED, _IMPLICIT = "BLAS, np.argpartition", "BLAS, compiled top-k", "implicit"
_MIB: Final = 1 << 20
_LOOK_SECONDS: Final = 0.1
#: Functions of a profile.
_SHOWN: Final = 25


class NothingStreamed:
    """A `trainer.flushing.Flusher` of a group to which nothing is streamed."""

    def flush(self, location: str, context: JobContext) -> Flushed:  # noqa: ARG002 -- the port's signature
        """Do nothing: the log is empty, and the table has all there is."""
        return Flushed(0)


def run_job(folder: Path, artifacts: Path, planted: Planted, *, processes: int) -> dict[str, float]:
    """Do the job in a process of its own; return what it and its processes took.

    Returns:
        Users per second from the input to the output, microseconds of processor time per user, seconds, answered
        lines, and the peak of memory in MiB.
    """
    command = [
        *(sys.executable, "-m", "benchmarks.batch", "--job", str(folder)),
        *("--artifacts", str(artifacts), "--artifact", planted.location, "--processes", str(processes)),
    ]
    environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # as the trainer has it
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, _memory_of(process.pid))
            time.sleep(_LOOK_SECONDS)
        assert process.stdout is not None
        said = process.stdout.read()
        if process.returncode:
            raise SystemExit(f"the job ended with status {process.returncode}")
    done: dict[str, float] = json.loads(said.splitlines()[-1])
    return {**done, "peak_mib": peak // _MIB}


def _memory_of(number: int) -> int:
    """Return the bytes of a process and of its children; pages that several map count for each in part."""
    total = 0
    try:
        process = psutil.Process(number)
        for one in (process, *process.children(recursive=True)):
            total += one.memory_full_info().pss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return total
    return total


def do_job(folder: Path, artifacts: Path, artifact: str, *, processes: int) -> None:
    """Do the job, and print what came of it as JSON."""
    settings, buckets = StoreSettings(store_url=str(artifacts)), folder / "s3"
    runner = BatchRunner(
        Sources(settings, buckets=buckets, roots=(), field=INPUT_PATH),
        Outputs(settings, buckets=buckets, roots=(), field=OUTPUT_PATH),
        Workspace(folder / "work"),
        LocalCompute(processes),
    )
    handler = BatchInferenceJobHandler(
        open_store(settings), runner, flusher=NothingStreamed(), store_settings=settings, history_events=200
    )
    payload = BatchInferencePayload(
        artifact_location=artifact,
        input_location="s3://batch/in/users.json",
        output_location="s3://batch/out/",
        num_results=RESULTS,
    )
    began, cpu = time.perf_counter(), cpu_seconds()
    result = handler.run(payload, NullJobContext())
    seconds = time.perf_counter() - began
    assert not result.failed_lines, "all users are answered"
    figures = {
        "per_second": round(result.answered_lines / seconds, 1),
        "cpu_micros": round((cpu_seconds() - cpu) / result.answered_lines * 1e6, 1),
        "seconds": round(seconds, 1),
        "answered_lines": result.answered_lines,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


def profile(artifacts: Path, artifact: str, *, users: int, lines: int) -> None:
    """Answer lines in this process once it has opened the artifact, and print what took most processor time."""
    setup = Setup(StoreSettings(store_url=str(artifacts)), artifact, artifacts / "copies", RESULTS)
    parts = [
        Question(setup, begin + 1, b"".join(map(line_of, range(begin, min(begin + PART_LINES, lines)), repeat(users))))
        for begin in range(0, lines, PART_LINES)
    ]
    answer(parts[0])
    profiler = cProfile.Profile(time.process_time)
    for part in parts:
        profiler.runcall(answer, part)
    pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(_SHOWN)


def line_of(number: int, users: int) -> bytes:
    """Return a line: users of the artifact one after the other, again and again."""
    return b'{"userId":"user-%08d"}\n' % (number % users)


def write_input(folder: Path, *, users: int, lines: int) -> None:
    """Write a file of lines."""
    place = folder / "s3" / "batch" / "in"
    place.mkdir(parents=True, exist_ok=True)
    with (place / "users.json").open("wb") as file:
        file.writelines(map(line_of, range(lines), repeat(users)))


def write_vectors(folder: Path, artifacts: Path, planted: Planted, *, lines: int) -> Path:
    """Write the vectors of the items, and of the user of each line, for the plain programs; return their folder."""
    (artifact,) = {path.parent for path in (artifacts / planted.location).rglob("item_vectors.npy")}
    vectors = folder / "vectors"
    vectors.mkdir(exist_ok=True)
    users: NDArray[np.float32] = np.load(artifact / "user_vectors.npy", mmap_mode="r")
    np.save(vectors / "items.npy", np.load(artifact / "item_vectors.npy"))
    np.save(vectors / "users.npy", users[np.arange(lines) % len(users)])
    return vectors


def measure(
    folder: Path, artifacts: Path, *, items: int, users: int, lines: int, processes: int, rounds: int, many: int
) -> dict[str, Any]:
    """Measure all sides in alternating rounds.

    Returns:
        By side users per second and microseconds of processor time per user, medians of the rounds; the peak of memory
        of the job in MiB; and all that of one more job of `many` users, if any.
    """
    planted = plant(open_store(StoreSettings(store_url=str(artifacts))), n_items=items, n_users=users)
    write_input(folder, users=users, lines=lines)
    vectors = write_vectors(folder, artifacts, planted, lines=lines)
    peaks: list[float] = []

    def job() -> Speed:
        done = run_job(folder, artifacts, planted, processes=processes)
        peaks.append(done["peak_mib"])
        return Speed(done["per_second"], done["cpu_micros"])

    sides: Mapping[str, Callable[[], Speed]] = {
        _JOB: job,
        _BLAS: partial(run_blas, vectors, lines=lines, processes=processes, is_compiled=False),
        _BLAS_COMPILED: partial(run_blas, vectors, lines=lines, processes=processes, is_compiled=True),
        _IMPLICIT: partial(run_implicit, vectors, lines=lines, processes=processes),
    }
    done: dict[str, list[Speed]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            done[name].append(run())
    figures: dict[str, Any] = {"index": planted.chosen, "peak_mib": max(peaks)}
    figures["sides"] = {
        name: {
            "per_second": round(statistics.median(speed.per_second for speed in speeds), 1),
            "cpu_micros": round(statistics.median(speed.cpu_micros for speed in speeds), 1),
        }
        for name, speeds in done.items()
    }
    if many:
        write_input(folder, users=users, lines=many)
        figures["many"] = run_job(folder, artifacts, planted, processes=processes)
    return figures


def rows_of(figures: Mapping[str, Any], *, lines: int, many: int) -> list[tuple[str, ...]]:
    """Return the rows of the table."""
    sides = figures["sides"]
    ours, peaks = sides[_JOB], {lines: figures["peak_mib"]}
    rows: list[tuple[str, ...]] = [
        (
            name,
            f"{side['per_second']:,.0f}",
            f"{ours['per_second'] / side['per_second']:.2f}",
            f"{side['cpu_micros']:,.0f}",
            f"{side['cpu_micros'] / ours['cpu_micros']:.2f}",
        )
        for name, side in sides.items()
    ]
    if many:
        more = figures["many"]
        rows.append((f"{_JOB}, {many:,} users", f"{more['per_second']:,.0f}", "", f"{more['cpu_micros']:,.0f}", ""))
        peaks[many] = more["peak_mib"]
    rows += [(f"peak memory of {count:,} users", f"{peak:,.0f} MiB", "", "", "") for count, peak in peaks.items()]
    return rows


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=60_000, help="of the catalogue")
    parser.add_argument("--users", type=int, default=20_000, help="that the model knows")
    parser.add_argument("--lines", type=int, default=40_000, help="users that the job is asked about")
    parser.add_argument("--processes", type=int, default=2, help="that answer, and threads of the others")
    parser.add_argument("--rounds", type=int, default=3, help="per side")
    parser.add_argument("--many", type=int, default=0, help="users of one more job, whose memory is measured")
    parser.add_argument("--profile", action="store_true", help="print what the lines of one process take, no more")
    parser.add_argument("--artifacts", type=Path, help="folder in which planted artifacts are kept for the next run")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--artifact", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job is not None:
        do_job(arguments.job, arguments.artifacts, arguments.artifact, processes=arguments.processes)
        return
    names = ("items", "users", "lines", "processes", "rounds", "many")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        artifacts = arguments.artifacts or folder / "store"
        if arguments.profile:
            store = open_store(StoreSettings(store_url=str(artifacts)))
            planted = plant(store, n_items=arguments.items, n_users=arguments.users)
            profile(artifacts, planted.location, users=arguments.users, lines=arguments.lines)
            return
        figures = measure(folder, artifacts, **{name: getattr(arguments, name) for name in names})
    publish(
        {"settings": {name: getattr(arguments, name) for name in names}, **figures},
        table=markdown_table(
            ("side", "users/s", "job / side", "CPU µs/user", "side / job"),
            rows_of(figures, lines=arguments.lines, many=arguments.many),
        ),
        output=arguments.output,
    )


if __name__ == "__main__":
    main()
