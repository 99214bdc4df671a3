"""Commands and their exit codes."""


def test_version_prints_the_version(tailorbird, capsys):
    assert (tailorbird("version"), capsys.readouterr().out.strip()) == (0, "0.1.0")


def test_an_unknown_command_exits_with_2(tailorbird):
    assert tailorbird("fly") == 2
