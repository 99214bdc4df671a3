"""Benchmark commands that measure recipes run to their ends on a very small scale."""

import pytest

from tests.benchmarks.commands.small_runs import QUALITY, check_small_run, run, split


@pytest.mark.parametrize("name", QUALITY)
def test_the_command_prints_a_table_and_writes_its_figures(name, tmp_path, monkeypatch, capsys):
    check_small_run(name, tmp_path, monkeypatch=monkeypatch, capsys=capsys)


@pytest.mark.parametrize("protocol", ["item-to-item"])
def test_protocols_run_by_their_names(protocol, tmp_path, monkeypatch, capsys):
    run("benchmarks.quality.__main__", protocol, split(tmp_path), monkeypatch=monkeypatch)
    assert "aws-similar-items" in capsys.readouterr().out
