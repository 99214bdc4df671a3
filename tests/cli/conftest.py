"""The command line, called as a person calls it."""

import pytest

from cli.app import Env, app, run
from cli.installation import Installation


@pytest.fixture
def tailorbird(tmp_path):
    def call(*arguments):
        return run(app, Env(environ={}), list(arguments))

    return call


@pytest.fixture
def data_dir(tmp_path):
    Installation(tmp_path).prepare()
    return tmp_path
