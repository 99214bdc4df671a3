"""Reading the data sets that recommenders are compared on, in the forms that they are published in.

Most of them may not be redistributed, so none is part of this project: `TAILORBIRD_BENCH_DATA` names a folder that
holds them. Without any, `demo` stands for MovieLens 100K as the demo downloads it.
"""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cli.demo import movielens
from cli.env import Env
from common.errors import InvalidInput, invalid
from recipes.data.columns import CategoricalColumn, Columns
from recipes.data.training_data import Interactions, TrainingData
from trainer.training.loading import number_event_types

__all__ = [
    "DATA_ROOT", "DEMO", "Dataset", "find_file", "index", "load", "read_interactions", "read_sequences", "read_text",
]  # fmt: skip

#: Environment variable that names the folder.
DATA_ROOT = "TAILORBIRD_BENCH_DATA"
#: Stands for the demo's data.
DEMO = "demo"

#: Names of the columns in the wild, in lower case and without types.
_USER = ("user_id", "userid", "user", "personid", "session_id", "sessionid", "session")
_ITEM = ("item_id", "itemid", "item", "movie_id", "movieid", "artistid", "contentid")
_TIMESTAMP = ("timestamp", "time")
_DATE = ("year", "month", "day")
_EVENT_TYPE = ("event_type", "eventtype", "event")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Interactions with dense indexes.

    Attributes:
        name: For the report.
        data: Users and items by index; where only an order is known, all timestamps are 0.
        users: Id by index.
        items: Id by index.
    """

    name: str
    data: TrainingData
    users: tuple[str, ...]
    items: tuple[str, ...]


def load(name: str) -> Dataset:
    """Load a data set by its path, absolute, from here, or below the folder that the environment names.

    The demo's has its films' genres and years as columns of the items; the others have no columns.

    Sequences end in `.txt`, tables in `.csv`, `.tsv`, `.dat` or `.inter`; each may be compressed as `.gz` or `.zip`. A
    `.txt` whose first line has tabs is a table too, as sessions are published.

    Raises:
        InvalidInput: There is no such file, or its form is unknown.
    """
    if name == DEMO:
        return _demo()
    path = find_file(name)
    form = [suffix for suffix in path.suffixes if suffix not in {".gz", ".zip"}][-1:]
    if form == [".txt"] and "\t" not in read_text(path).partition("\n")[0]:
        return read_sequences(path)
    if form in ([".txt"], [".csv"], [".tsv"], [".dat"], [".inter"]):
        return read_interactions(path)
    raise invalid(
        "data", got=path.name, want="a name ending in .txt, .csv, .tsv, .dat or .inter, perhaps with .gz or .zip"
    )


def read_sequences(path: Path) -> Dataset:
    """Read lines of `user item item ...`, oldest first; a user's later lines continue the earlier ones.

    So a file of one `user item` pair a line, as SASRec and BERT4Rec publish, is read too.

    Raises:
        InvalidInput: A line names no item.
    """
    users: list[str] = []
    items: list[str] = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        user, *sequence = line.split()
        if not sequence:
            raise invalid(f"{path.name}:{number}", got=line, want="a user and items")
        users += [user] * len(sequence)
        items += sequence
    return index(path.name, users=users, items=items, timestamps=np.zeros(len(users), np.int64))


def read_interactions(path: Path) -> Dataset:
    """Read a table with a header: columns of user or session, item, timestamp and perhaps event type.

    They have one of their usual names; a user's column wins over a session's. Commas separate `.csv`, tabs the rest.
    Instead of a timestamp there may be a day, a month and a year: then rows of one user, item and day are one
    interaction, and those of a day are put in an order that is drawn, as that of the file may tell of the items.

    Rows of one time stay in the order of the file. Other columns are passed over.

    Raises:
        InvalidInput: A column is missing.
    """
    # As text, so that ids keep their leading zeros.
    table = pl.read_csv(
        io.StringIO(read_text(path)), separator="," if ".csv" in path.suffixes else "\t", infer_schema=False
    )
    # RecBole writes the type behind the name: `user_id:token`.
    columns = {name.partition(":")[0].strip().lower(): name for name in table.columns}
    if columns.keys() >= set(_DATE) and not columns.keys() & set(_TIMESTAMP):
        user, item = (_column(columns, names, path) for names in (_USER, _ITEM))
        table = _of_days(table, user=user, item=item, date=[columns[name] for name in _DATE])
        columns["timestamp"] = "timestamp"
    user, item, timestamp = (_column(columns, names, path) for names in (_USER, _ITEM, _TIMESTAMP))
    event_type = next((name for name in _EVENT_TYPE if name in columns), None)
    return index(
        path.name,
        users=table[user].to_list(),
        items=table[item].to_list(),
        timestamps=table[timestamp].cast(pl.Float64).cast(pl.Int64).to_numpy(),
        event_types=table[columns[event_type]] if event_type is not None else None,
    )


def _of_days(table: pl.DataFrame, *, user: str, item: str, date: Sequence[str]) -> pl.DataFrame:
    """Return a user's items of each day once, with the seconds at which the day began in a column `timestamp`."""
    days = pl.date(*(pl.col(name).cast(pl.Int32) for name in date)).cast(pl.Datetime("ms")).dt.timestamp("ms") // 1000
    interactions = table.with_columns(timestamp=days).unique([user, item, "timestamp"], maintain_order=True)
    return interactions.sample(fraction=1.0, shuffle=True, seed=0)


def _demo() -> Dataset:
    films = movielens.load(Env(os.environ).cache_dir)
    dataset = index(
        "MovieLens 100K",
        users=[watch.user for watch in films.interactions],
        items=[watch.item for watch in films.interactions],
        timestamps=np.array([watch.timestamp for watch in films.interactions], np.int64),
    )
    films_in_order = [films.items[item] for item in dataset.items]
    columns = Columns(
        categorical={"GENRES": CategoricalColumn.of_values([film.genres for film in films_in_order])},
        numeric={"YEAR": np.array([film.year or np.nan for film in films_in_order], np.float64)},
    )
    return replace(dataset, data=replace(dataset.data, items=columns))


def index(
    name: str,
    *,
    users: Sequence[str],
    items: Sequence[str],
    timestamps: NDArray[np.int64],
    event_types: pl.Series | None = None,
) -> Dataset:
    """Number users and items by their ids in ascending order, and put the rows in order.

    Args:
        name: For the report.
        users: Id of each row's user.
        items: Id of each row's item.
        timestamps: int64 [n]; rows of one time stay in their order.
        event_types: Of each row.
    """
    user_ids, user = np.unique(np.array(users, dtype=str), return_inverse=True)
    item_ids, item = np.unique(np.array(items, dtype=str), return_inverse=True)
    types, numbers = ((), None) if event_types is None else number_event_types(event_types)
    interactions = Interactions.sort(user, item=item, timestamp=timestamps, event_type=numbers)
    data = TrainingData(interactions, len(user_ids), len(item_ids), types)
    return Dataset(name, data, tuple(user_ids.tolist()), tuple(item_ids.tolist()))


def find_file(name: str) -> Path:
    """Find a file by its path, absolute, from here, or below the folder that the environment names.

    Raises:
        InvalidInput: There is none.
    """
    root = os.environ.get(DATA_ROOT)
    tried = [Path(name), *([Path(root) / name] if root else [])]
    for path in tried:
        if path.is_file():
            return path
    hint = "" if root else f", or {DATA_ROOT} set to the folder that holds the data sets"
    raise InvalidInput(f"`data`: got {name}, which is no file, want the path of one, `{DEMO}`{hint}")


def read_text(path: Path) -> str:
    """Read a file that may be compressed.

    Raises:
        InvalidInput: An archive holds more than one file.
    """
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes()).decode()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as files:
            names = [name for name in files.namelist() if not name.endswith("/")]
            if len(names) != 1:
                raise invalid("data", got=f"{path.name} with {len(names)} files", want="one with a single file")
            return files.read(names[0]).decode()
    return path.read_text()


def _column(columns: dict[str, str], names: Iterable[str], path: Path) -> str:
    for name in names:
        if name in columns:
            return columns[name]
    raise invalid(path.name, got=f"columns {', '.join(columns)}", want=f"one called {' or '.join(names)}")
