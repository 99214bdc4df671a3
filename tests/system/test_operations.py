"""Every operation once, with success, through boto3: what comes back has the shape that Personalize's has."""

from collections import Counter
from contextlib import ExitStack

import pytest

from benchmarks.system import running_system
from common.operations import State, operation_states
from control_plane.servicers.control import ControlPlaneServicer
from events_service.servicers.events import EventsServicer
from runtime_service.servicers.recommendations import RuntimeServicer
from tests.aws_shapes import responses_checked
from tests.gateway import samples
from tests.system.operations import NOT_BUILT, SCENARIO, Walk


def test_each_operation_has_an_entry_or_is_not_built():
    states = {
        name: state
        for servicer in (ControlPlaneServicer, EventsServicer, RuntimeServicer)
        for name, state in operation_states(servicer).items()
    }

    assert states.keys() == {name for _, name in samples.all_operations()}
    assert len(states) == 79
    assert {name for name, state in states.items() if state in (State.UNBUILT, State.NOT_FOUND)} == NOT_BUILT
    assert states.keys() - NOT_BUILT == SCENARIO.keys()


@pytest.fixture
def system(tmp_path):
    with running_system(tmp_path) as running:
        yield running


def test_every_operation_that_is_built_succeeds_with_a_response_of_its_shape(system):
    answered = Counter()
    bucket = system.installation.buckets / "walk"
    bucket.mkdir(parents=True)
    clients = system.clients()
    walk = Walk(clients, bucket)
    with ExitStack() as stack:
        for client in (clients.personalize, clients.events, clients.runtime):
            stack.enter_context(responses_checked(client, seen=lambda name: answered.update([name])))
        for name in SCENARIO:
            walk.run(name)

    assert answered.keys() == SCENARIO.keys()
