"""Benchmark commands on events, imports, exports, tables and stores run to their ends on a very small scale."""

import pytest

from tests.benchmarks.commands.small_runs import DATA, check_small_run


@pytest.mark.parametrize("name", DATA)
def test_the_command_prints_a_table_and_writes_its_figures(name, tmp_path, monkeypatch, capsys):
    check_small_run(name, tmp_path, monkeypatch=monkeypatch, capsys=capsys)
