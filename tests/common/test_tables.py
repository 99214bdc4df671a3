"""Tables whose files are damaged are told by the file, tables that cannot be reached are not."""

from __future__ import annotations

import polars as pl
import pytest

from common.errors import CorruptArtifact, ResourceNotFound
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.tables import Table


@pytest.fixture
def table(tmp_path):
    table = Table(open_store(StoreSettings(store_url=str(tmp_path))), "films")
    for first in (0, 1000):
        table.append(pl.DataFrame({"ITEM_ID": [f"i{first + number}" for number in range(1000)]}))
    return table


def damaged_file(tmp_path):
    return max((tmp_path / "films").glob("*.parquet"))


def flipped(content: bytes, place: float) -> bytes:
    at = int(len(content) * place)
    return content[:at] + bytes(byte ^ 0xFF for byte in content[at : at + 20]) + content[at + 20 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: flipped(content, 0.1),
        lambda content: flipped(content, 0.3),
        lambda content: flipped(content, 0.95),
        lambda content: b"PAR1" + bytes(range(256)) * 20 + b"\x10\0\0\0PAR1",
    ],
)
def test_a_damaged_file_is_named(table, tmp_path, damage):
    file = damaged_file(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(CorruptArtifact, match=f"dataset films: the file films/{file.name} is damaged"):
        table.read()


def test_a_file_that_is_gone_is_named(table, tmp_path):
    file = damaged_file(tmp_path)
    file.unlink()
    with pytest.raises(CorruptArtifact, match=f"the file films/{file.name} is gone"):
        table.read()


def test_a_damaged_log_is_named(table, tmp_path):
    file = max((tmp_path / "films" / "_delta_log").glob("*.json"))
    file.write_text('{"add": ')
    with pytest.raises(CorruptArtifact, match=f"the file films/_delta_log/{file.name} is damaged"):
        table.read()


def test_reading_an_empty_table_is_not_found(tmp_path):
    with pytest.raises(ResourceNotFound, match="holds no data yet"):
        Table(open_store(StoreSettings(store_url=str(tmp_path))), "films").read()
