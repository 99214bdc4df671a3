"""The page on access, accounts and secrets: its policy is one, its commands exist, and its promises hold."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from cli.app import app
from common.auth import Decision, check_policy, policy_set

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "security.md").read_text()
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines() if line.strip()
]
FILMS = "arn:aws:personalize:us-east-1:000000000000:campaign/films"


def test_the_policy_of_the_page_allows_what_it_says():
    (document,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    policies = policy_set((check_policy(document),))

    assert policies.decide("GetRecommendations", FILMS) is Decision.ALLOWED
    assert policies.decide("GetRecommendations", FILMS.replace("films", "shoes")) is Decision.IMPLICIT_DENY
    assert policies.decide("PutEvents", "*") is Decision.ALLOWED
    assert policies.decide("DeleteCampaign", FILMS) is Decision.EXPLICIT_DENY


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_of_the_page_exist_with_their_options(line):
    program, group, command, *arguments = shlex.split(line)
    commands = typer.main.get_command(app).commands[group].commands
    parser = commands[command]

    assert program == "tailorbird"
    parser.make_context(command, list(arguments), resilient_parsing=True)
    options = {name for parameter in parser.params for name in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= options


def test_commands_were_read():
    assert len(COMMANDS) > 8
