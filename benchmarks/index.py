"""What finding the best items costs and finds, by size of the catalogue: `python -m benchmarks.index --vectors FOLDER`.

`FOLDER` holds `item_vectors.npy` and `user_vectors.npy`, as the folder of an artifact does. Catalogues that are larger
are planted: each further item is one of the folder's with some noise of each coordinate's own spread; smaller ones are
drawn from it. Without a folder the vectors are drawn at random around centres, which no training made: good for trying
the command out.

Per size every index is built as a training does and searched for a thousand users, or as many as there are, that
nothing was made from: all items scored by NumPy, the scan, what calibration chose, and FAISS for reference (the `bench`
extra), all on one thread. Recall is of the exact first 25 and 100. "Different" are the different items among the first
25 of all answers: few of them make any index look good.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.planted import plant_vectors
from benchmarks.report import markdown_table, percentile, publish
from common.errors import invalid
from inference.model import open_index
from recipes.data.histories import FloatArray, ItemIndexes
from recipes.retrieval.calibration import IndexMeasurement, calibrate
from recipes.retrieval.top_k import top_k
from trainer.training.artifact_writer import calibration_message

_LIMIT = 100
_SHOWN = 25
_LEARNT_USERS = 8_192
_CALIBRATION_QUERIES = 256

#: Finds 100 items.
Search = Callable[[FloatArray], ItemIndexes]


class Row(NamedTuple):
    """What was measured of one way of searching a catalogue."""

    items: int
    way: str
    recall_at_25: float
    recall_at_100: float
    p50_micros: float
    p99_micros: float
    different: int
    build_seconds: float


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=Path, help="folder with item_vectors.npy and user_vectors.npy")
    parser.add_argument("--sizes", type=int, nargs="+", default=[4_000, 60_000, 300_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=1_000, help="users that search")
    parser.add_argument("--trees", type=int, default=40, help="of an Annoy forest")
    parser.add_argument(
        "--graph-items", type=int, default=100_000, help="largest catalogue for FAISS' HNSW: minutes each"
    )
    parser.add_argument("--without-faiss", action="store_true", help="do not compare with FAISS")
    parser.add_argument("--output", type=Path, help="file for the figures as JSON")
    arguments = parser.parse_args()
    items, users = read_vectors(arguments.vectors)
    users = users[np.random.default_rng(1).permutation(len(users))]
    with_faiss = not arguments.without_faiss and importlib.util.find_spec("faiss") is not None
    rows, chosen = list[Row](), dict[int, Any]()
    for size in arguments.sizes:
        vectors = sized(items, size)
        measured, settings = measure(
            vectors,
            users,
            n_queries=arguments.queries,
            trees=arguments.trees,
            graph_items=arguments.graph_items if with_faiss else None,
        )
        rows += measured
        chosen[size] = settings
    table = markdown_table(
        ("items", "index", "recall@25", "recall@100", "p50 µs", "p99 µs", "different", "build s"),
        [tuple(f"{value:.4g}" if isinstance(value, float) else value for value in row) for row in rows],
    )
    figures = {"vectors": arguments.vectors.name if arguments.vectors else "drawn", "calibrations": chosen}
    publish({**figures, "rows": [row._asdict() for row in rows]}, table=table, output=arguments.output)


def read_vectors(folder: Path | None) -> tuple[FloatArray, FloatArray]:
    """Return vectors of items, float32 [n, d], and of users, float32 [m, d].

    Raises:
        InvalidInput: The folder lacks one of them.
    """
    if folder is None:
        random = np.random.default_rng(1)
        centres = random.standard_normal((100, 32))
        drawn = centres[random.integers(0, 100, 5_000)] + 0.5 * random.standard_normal((5_000, 32))
        users = centres[random.integers(0, 100, 3_000)] + 0.7 * random.standard_normal((3_000, 32))
        return drawn.astype(np.float32), users.astype(np.float32)
    for name in ("item_vectors.npy", "user_vectors.npy"):
        if not (folder / name).is_file():
            raise invalid("--vectors", got=f"no {name}", want="a folder with item_vectors.npy and user_vectors.npy")
    return np.load(folder / "item_vectors.npy"), np.load(folder / "user_vectors.npy")


def sized(item_vectors: FloatArray, size: int) -> FloatArray:
    """Return a catalogue of a size: drawn from the given one, or planted around it."""
    random = np.random.default_rng(size)
    if size <= len(item_vectors):
        return item_vectors[np.sort(random.permutation(len(item_vectors))[:size])]
    kinds = np.concatenate(
        [np.arange(len(item_vectors)), random.integers(0, len(item_vectors), size - len(item_vectors))]
    )
    return plant_vectors(item_vectors, kinds, random)


def measure(
    item_vectors: FloatArray, user_vectors: FloatArray, *, n_queries: int, trees: int, graph_items: int | None
) -> tuple[list[Row], dict[str, Any]]:
    """Measure every way of searching a catalogue.

    Args:
        item_vectors: float32 [n_items, d].
        user_vectors: float32 [m, d]; the first search, the next calibrate, of the others indexes are made.
        n_queries: Users that search, half of all at most.
        trees: Of an Annoy forest.
        graph_items: The largest catalogue to build FAISS' HNSW for; None compares with nothing of FAISS.

    Returns:
        The rows, and what calibration chose and measured.
    """
    n_items, width = item_vectors.shape
    n_queries = min(n_queries, len(user_vectors) // 2)
    queries, others = user_vectors[:n_queries], user_vectors[n_queries:]
    calibrated_by = min(_CALIBRATION_QUERIES, len(others) // 2)

    def exact(query: FloatArray) -> ItemIndexes:
        return top_k(item_vectors @ query, _LIMIT)

    expected = [exact(query) for query in queries]

    def row(name: str, search: Search, seconds: float) -> Row:
        return _measure(name, search, queries, expected, n_items=n_items, seconds=seconds)

    with tempfile.TemporaryDirectory() as name:
        folder, began = Path(name), time.perf_counter()
        calibration = calibrate(
            item_vectors,
            others[:calibrated_by],
            user_vectors=others[calibrated_by : calibrated_by + _LEARNT_USERS],
            folder=folder,
            seed=1,
            trees=trees,
        )
        seconds = time.perf_counter() - began
        message = calibration_message(calibration, trees=trees, queries=calibrated_by)
        index, scan = open_index(folder, message, item_vectors=item_vectors, mode="auto")
        rows = [row("exact (NumPy)", exact, 0.0)]
        if scan is not None:
            rows.append(row("scan", lambda query: scan.nearest(query, _LIMIT).items, 0.0))
        if index is not None and index is not scan:
            rows.append(row(_label(calibration.chosen), lambda query: index.nearest(query, _LIMIT).items, seconds))
    if graph_items is not None:
        reference = _faiss(item_vectors, width=width, with_graph=n_items <= graph_items)
        rows += [row(name, search, seconds) for name, search, seconds in reference]
    return rows, {
        "chosen": calibration.chosen.index,
        "seconds": round(seconds, 1),
        "measured": [asdict(setting) for setting in calibration.measurements],
    }


def _label(setting: IndexMeasurement) -> str:
    if setting.index == "lists":
        return f"chosen: {setting.clusters} lists of {setting.list_length}, {setting.probes} looked at"
    return f"chosen: {setting.index}, {setting.transform}, head {setting.head}, search_k {setting.search_k}"


def _measure(
    name: str, search: Search, queries: FloatArray, expected: Sequence[ItemIndexes], *, n_items: int, seconds: float
) -> Row:
    search(queries[0])
    micros, hits, different = [], np.zeros(2), set[int]()
    for query, right in zip(queries, expected, strict=True):
        began = time.perf_counter()
        items = search(query)
        micros.append((time.perf_counter() - began) * 1e6)
        hits += [np.isin(right[:_SHOWN], items).mean(), np.isin(right, items).mean()]
        different.update(np.intersect1d(right[:_SHOWN], items).tolist())
    micros.sort()
    recall_at_25, recall_at_100 = (hits / len(queries)).round(4).tolist()
    return Row(
        n_items,
        name,
        recall_at_25,
        recall_at_100,
        round(percentile(micros, 0.5), 1),
        round(percentile(micros, 0.99), 1),
        len(different),
        round(seconds, 1),
    )


def _faiss(item_vectors: FloatArray, *, width: int, with_graph: bool) -> Iterator[tuple[str, Search, float]]:
    """Build FAISS' indexes of inner products and return a search of each."""
    faiss: Any = importlib.import_module("faiss")
    faiss.omp_set_num_threads(1)
    lists = max(1, int(4 * len(item_vectors) ** 0.5))
    inverted = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
    inverted.nprobe = max(1, lists // 32)
    indexes = {
        "FAISS IndexFlatIP": faiss.IndexFlatIP(width),
        f"FAISS IVF, {lists} lists, nprobe {inverted.nprobe}": inverted,
    }
    if with_graph:
        graph = faiss.IndexHNSWFlat(width, 32, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efSearch = 128
        indexes["FAISS HNSW, M 32, efSearch 128"] = graph
    for name, index in indexes.items():
        began = time.perf_counter()
        if not index.is_trained:
            index.train(item_vectors)
        index.add(item_vectors)
        seconds = time.perf_counter() - began

        def search(query: FloatArray, index: Any = index) -> ItemIndexes:
            items: ItemIndexes = index.search(query[None], _LIMIT)[1][0]
            return items

        yield name, search, seconds


if __name__ == "__main__":
    main()
