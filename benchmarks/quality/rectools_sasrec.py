"""RecTools' SASRec, epoch by epoch: the other side of `benchmarks.quality.training_speed`.

It runs in an environment of its own and imports nothing of ours, because RecTools wants another NumPy than we do. Reads
`learnt.csv` and `shown.csv` (columns user, item, place in the user's history) in a folder, writes `epoch-N.npz` there
after each epoch: the ten best items of each tested user for both histories, and prints one line of JSON with the
seconds and processor seconds that learning has taken until then.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

_LISTED = 10


def main() -> None:
    """Learn and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(arguments.threads)
    seed_everything(arguments.seed, verbose=False)
    learnt, shown = (_read(arguments.folder / f"{name}.csv") for name in ("learnt", "shown"))
    tested = np.load(arguments.folder / "tested.npy")
    model = SASRecModel(n_factors=arguments.width, epochs=arguments.epochs)
    seconds, cpu = 0.0, 0.0
    for epoch in range(1, arguments.epochs + 1):
        began, began_cpu = time.perf_counter(), time.process_time()
        model.fit_partial(learnt, min_epochs=1, max_epochs=1)
        seconds += time.perf_counter() - began
        cpu += time.process_time() - began_cpu
        np.savez(
            arguments.folder / f"epoch-{epoch}.npz",
            learnt=_lists(model, learnt, tested),
            shown=_lists(model, shown, tested),
        )
        sys.stdout.write(json.dumps({"epoch": epoch, "seconds": seconds, "cpu_seconds": cpu}) + "\n")
        sys.stdout.flush()


def _read(path: Path) -> Any:
    frame = pd.read_csv(path)
    return Dataset.construct(
        pd.DataFrame(
            {
                Columns.User: frame["user"],
                Columns.Item: frame["item"],
                Columns.Weight: 1.0,
                Columns.Datetime: pd.to_datetime(frame["place"], unit="s"),
            }
        )
    )


def _lists(model: Any, data: Any, tested: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the best items of tested users, none of them seen: int64 [users, 10], -1 where there are fewer."""
    recommended = model.recommend(users=tested, dataset=data, k=_LISTED, filter_viewed=True)
    rows = np.searchsorted(tested, recommended[Columns.User].to_numpy())
    lists = np.full((len(tested), _LISTED), -1)
    lists[rows, recommended[Columns.Rank].to_numpy() - 1] = recommended[Columns.Item].to_numpy()
    return lists


if __name__ == "__main__":
    main()
