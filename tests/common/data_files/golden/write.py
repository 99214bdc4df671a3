"""Writes the golden files with the programs themselves: `python write.py` with pandas and pyspark installed.

Run by hand, once per version of a program: the tests read what is committed. `README.md` beside it says more.
"""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

HERE = Path(__file__).parent


def table() -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows that every file holds."""
    document = json.loads((HERE / "table.json").read_text())
    return document["columns"], document["rows"]


def write_python() -> None:
    """Write with the standard library: its default, every value quoted, and with escapes."""
    styles = {
        "python-default": {},
        "python-all-quoted": {"quoting": csv.QUOTE_ALL, "lineterminator": "\n"},
        "python-escapes": {"quoting": csv.QUOTE_ALL, "doublequote": False, "escapechar": "\\"},
    }
    columns, rows = table()
    for name, style in styles.items():
        with (HERE / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, **style).writerows([columns, *rows])


def write_pandas() -> None:
    """Write with pandas: its default, and with escapes."""
    import pandas as pd

    columns, rows = table()
    frame = pd.DataFrame(rows, columns=columns)
    frame.to_csv(HERE / "pandas-default.csv", index=False)
    frame.to_csv(
        HERE / "pandas-escapes.csv", index=False, quoting=csv.QUOTE_ALL, doublequote=False, escapechar="\\"
    )  # fmt: skip


def write_spark() -> None:
    """Write with Spark: its default, which escapes."""
    from pyspark.sql import SparkSession

    columns, rows = table()
    spark = SparkSession.builder.master("local[1]").getOrCreate()
    spark.createDataFrame(rows, columns).coalesce(1).write.csv(str(HERE / "spark"), header=True, mode="overwrite")
    (part,) = (HERE / "spark").glob("part-*.csv")
    shutil.copy(part, HERE / "spark-default.csv")
    shutil.rmtree(HERE / "spark")
    spark.stop()


def write_by_rule() -> None:
    """Write as programs do that cannot be run here: Excel ("CSV UTF-8") and query results of Athena."""
    columns, rows = table()
    with (HERE / "excel-utf8.csv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, lineterminator="\r\n").writerows([columns, *rows])
    quoted = [",".join(_athena(value) for value in row) for row in [columns, *rows]]
    (HERE / "athena-results.csv").write_bytes("".join(f"{line}\n" for line in quoted).encode())


def _athena(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if value else ""


if __name__ == "__main__":
    write_python()
    write_by_rule()
    write_pandas()
    write_spark()
