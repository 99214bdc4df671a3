"""The box that `up` shows."""

import io

from rich.console import Console

from cli.installation import Installation
from cli.output import how_to_use
from cli.system import Ports


def box(installation, *, first_key, to_person):
    stream = io.StringIO()
    Console(file=stream, width=120).print(
        how_to_use(installation, Ports(7400), first_key=first_key, to_person=to_person)
    )
    return stream.getvalue()


def test_the_first_secret_is_shown_once(data_dir):
    installation = Installation(data_dir)
    key = installation.first_access_key()
    shown = [box(installation, first_key=first_key, to_person=True) for first_key in (key, None)]
    assert [key.secret_access_key in text for text in shown] == [True, False]


def test_the_first_secret_is_never_written_to_a_log(data_dir):
    installation = Installation(data_dir)
    key = installation.first_access_key()
    shown = box(installation, first_key=key, to_person=False)
    assert (key.secret_access_key in shown, key.access_key_id in shown) == (False, True)
    assert "keys create NAME --data-dir" in " ".join(shown.split())
