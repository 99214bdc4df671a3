"""What `tailorbird deletions show` says: only what was looked into everywhere proves that a user is nowhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cli.user_search import RuntimeAnswer, UserPlaces
from protos.tailorbird.control.v1 import user_search_service_pb2 as api

VERSION = "arn:aws:personalize:eu-west-1:000000000000:solution/films/1"


def search(*findings, runtime_ids=()):
    report = api.UserSearchReport(findings=findings)
    report.deletions.add(name="leavers-1").began_at.FromSeconds(1_700_000_000)
    return api.UserSearch(report=report, runtime_ids=runtime_ids)


def rows(count, place=api.USER_PLACE_DATASET):
    return api.UserFinding(place=place, name="INTERACTIONS", rows=count)


def text_of(places):
    console = Console(file=io.StringIO(), width=200)
    console.print(places.view())
    return console.file.getvalue()


def test_user_is_nowhere_when_every_place_and_every_host_says_so():
    runtimes = ["host-7-0", "host-7-1", "another-host-8-0"]
    responses = [RuntimeAnswer("a:1", "host-7-1", 0), RuntimeAnswer("b:1", "another-host-8-0", 0)]

    places = UserPlaces(search(rows(0), runtime_ids=runtimes), responses)

    assert places.is_nowhere
    assert places.as_json()["nowhere"]
    assert "not there" in text_of(places)
    assert "in force since 2023-11-14T22:13:20Z, not finished" in text_of(places)


@pytest.mark.parametrize(
    ("findings", "responses", "text"),
    [
        ([rows(0), rows(3, api.USER_PLACE_EVENT_LOG)], [("host-7-1", 0)], "there: 3"),
        ([api.UserFinding(place=api.USER_PLACE_EVENT_LOG, reason="away")], [("host-7-1", 0)], "cannot be asked (away)"),
        ([rows(0)], [], "name it with --runtime"),
        ([rows(0)], [("host-7-1", 2)], "there: 2"),
        ([rows(0), api.UserFinding(place=99, name="X")], [("host-7-1", 0)], "an unknown place, X"),
    ],
)
def test_one_place_that_has_the_user_or_does_not_answer_is_enough(findings, responses, text):
    runtimes = [RuntimeAnswer("a:1", name, events) for name, events in responses]

    places = UserPlaces(search(*findings, runtime_ids=["host-7-0"]), runtimes)

    assert not places.is_nowhere
    assert text in text_of(places)


def test_a_runtime_that_does_not_answer_says_why():
    places = UserPlaces(search(rows(0)), [RuntimeAnswer("a:1", reason="it is away")])

    assert not places.is_nowhere
    assert "cannot be asked (it is away)" in text_of(places)


def test_a_model_tells_whether_it_was_trained_before():
    model = api.UserFinding(place=api.USER_PLACE_MODEL, name=VERSION, rows=1, deletions_since=["leavers-1"])
    model.created_at.FromSeconds(0)

    shown = text_of(UserPlaces(search(model), []))

    assert "published 1970-01-01T00:00:00Z, trained before leavers-1" in shown
