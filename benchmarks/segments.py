"""Batch segment jobs by size: `python -m benchmarks.segments`.

Users, items and interactions are drawn, a model with vectors of the recipe's default width is published, and jobs run
on it as a trainer runs them: from a file of lines to a file of answers, parts in processes of their own. Reported are
users scored per second (users times segments), by the clock and by processor time of all processes, beside what the
inner products of one segment after the other and the choice of the best take alone; and the most memory of any process.
A last job asks for segments of all users.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from benchmarks.exports import NothingStreamed
from benchmarks.memory import peak_mib
from benchmarks.report import markdown_table, publish
from common.artifacts import publish_artifact
from common.compute.local import LocalCompute
from common.files.locations import INPUT_PATH, OUTPUT_PATH
from common.files.outputs import Outputs
from common.processors import usable_processors
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.vocabulary import Vocabulary
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from recipes.data.sparse import SparseRows
from recipes.models.user_segments.config import SegmentsConfig
from recipes.models.user_segments.score import SegmentScorer, Weights
from recipes.retrieval.top_k import top_k
from trainer.batch.runner import MAX_FILES, BatchRunner
from trainer.batch.segments import BatchSegmentJobHandler
from trainer.files.sources import Sources
from trainer.worker import NullJobContext
from trainer.workspace import Workspace

__all__ = ["measure"]

_LOCATION: Final = "artifacts/segments"
_USES: Final = 10
_SECONDS: Final = 30 * 86_400
_SIZE: Final = 25
#: Segments that are made plainly, for comparison.
_PLAIN: Final = 8


def measure(root: Path, *, users: int, items: int, segments: int, processes: int) -> dict[str, Any]:
    """Publish a model in an empty folder, run the jobs, and return their figures by name."""
    scorer = _drawn(users=users, items=items)
    _publish(root, scorer)
    plain = _plain_seconds(scorer)
    del scorer
    runs = {
        f"{segments:,} segments of {_SIZE}": _job(
            root, users=users, segments=segments, size=_SIZE, processes=processes
        ),
        f"{processes} segments of all": _job(root, users=users, segments=processes, size=users, processes=processes),
    }
    return {"plain_users_per_second": round(users / plain), "runs": runs}


def _drawn(*, users: int, items: int) -> SegmentScorer:
    """Return a model of drawn vectors; each user used some items lately."""
    random = np.random.default_rng(0)
    width = SegmentsConfig().hidden_dimension
    used = np.sort(random.integers(0, items, (users, _USES), np.int32), axis=1).ravel()
    weights = np.ones(len(used), np.float32)
    offsets = np.arange(0, len(used) + 1, _USES)
    return SegmentScorer(
        user_factors=random.standard_normal((users, width), np.float32),
        item_factors=random.standard_normal((items, width), np.float32),
        activity=np.full(users, np.log1p(_USES), np.float32),
        user_times=random.integers(0, _SECONDS, users),
        item_times=random.integers(0, _SECONDS, items),
        users_of_items=SparseRows(offsets, used, weights).transposed(items),
        weights=Weights(activity=0.1, earlier_use=-np.inf, period=0.05),
    )


def _publish(root: Path, scorer: SegmentScorer) -> None:
    folder = root / "model"
    folder.mkdir()
    scorer.save(folder)
    for name, count in (("users", scorer.n_users), ("items", scorer.n_items)):
        Vocabulary.build(map(str, range(count))).save(folder, name)
    manifest = ArtifactManifest(recipe="aws-item-affinity")
    publish_artifact(open_store(_settings(root)), _LOCATION, files=folder, manifest=manifest)


def _plain_seconds(scorer: SegmentScorer) -> float:
    """Return the processor time of one segment's inner products and the choice of its best users."""
    began = time.process_time()
    for item in range(_PLAIN):
        top_k(scorer.user_factors @ scorer.item_factors[item % scorer.n_items], _SIZE)
    return (time.process_time() - began) / _PLAIN


def _job(root: Path, *, users: int, segments: int, size: int, processes: int) -> dict[str, Any]:
    bucket = root / "s3" / "bucket"
    (bucket / "in").mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps({"itemId": str(number)}) + "\n" for number in range(segments))
    (bucket / "in" / "items.json").write_text(lines)
    settings, buckets = _settings(root), root / "s3"
    sources = Sources(
        settings, buckets=buckets, roots=(buckets,), field=INPUT_PATH, content="a file", max_files=MAX_FILES
    )
    outputs = Outputs(settings, buckets=buckets, roots=(buckets,), field=OUTPUT_PATH)
    runner = BatchRunner(sources, outputs, Workspace(root / "work"), LocalCompute(processes))
    handler = BatchSegmentJobHandler(open_store(settings), runner, flusher=NothingStreamed(), store_settings=settings)
    payload = jobs_pb2.BatchSegmentPayload(
        artifact_location=_LOCATION,
        input_location="s3://bucket/in/",
        output_location="s3://bucket/out/",
        num_results=size,
    )
    began, began_cpu = time.perf_counter(), _processor_seconds()
    result = handler.run(payload, NullJobContext())
    seconds, cpu = time.perf_counter() - began, _processor_seconds() - began_cpu
    assert (result.answered_lines, result.failed_lines) == (segments, 0)
    return {
        "seconds": round(seconds, 2),
        "processor_seconds": round(cpu, 2),
        "users_per_second": round(users * segments / seconds),
        "users_per_processor_second": round(users * segments / cpu),
        "output_bytes": (bucket / "out" / "items.json.out").stat().st_size,
        "peak_mib": max(peak_mib(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024),
    }


def _processor_seconds() -> float:
    """Return the processor time of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _settings(root: Path) -> StoreSettings:
    return StoreSettings(store_url=str(root / "store"))


def main() -> None:
    """Run and print; the figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=60_000, help="at least as many as segments")
    parser.add_argument("--segments", type=int, default=200)
    parser.add_argument("--processes", type=int, default=usable_processors())
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    sizes = {name: getattr(arguments, name) for name in ("users", "items", "segments", "processes")}
    with TemporaryDirectory() as folder:
        figures = {**sizes, **measure(Path(folder), **sizes)}
    publish(figures, table=_table(figures), output=arguments.output)


def _table(figures: Mapping[str, Any]) -> str:
    header = ("job", "s", "CPU s", "users / s", "users / CPU s", "of plain", "output MB", "peak MiB")
    plain = figures["plain_users_per_second"]
    rows = [
        (
            name,
            run["seconds"],
            run["processor_seconds"],
            f"{run['users_per_second']:,}",
            f"{run['users_per_processor_second']:,}",
            f"{run['users_per_processor_second'] / plain:.0%}",
            f"{run['output_bytes'] / 1e6:,.1f}",
            run["peak_mib"],
        )
        for name, run in figures["runs"].items()
    ]
    about = (
        "{users:,} users, {items:,} items, {processes} processes; plain: {plain_users_per_second:,} users / CPU s\n\n"
    )
    return about.format(**figures) + markdown_table(header, rows)


if __name__ == "__main__":
    main()
