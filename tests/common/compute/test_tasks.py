"""What is said of a part, and how an error crosses to another process."""

import pickle

from common.compute.messages import DONE, FAILED
from common.compute.tasks import perform
from common.errors import InvalidInput
from tests.common.compute import tasks


def said_of(task, part):
    return pickle.loads(perform(pickle.dumps(task), pickle.dumps(part)))


def test_a_result_is_said():
    assert said_of(tasks.square, 3) == (DONE, 9)


def test_an_error_keeps_its_class_its_members_and_its_traceback():
    kind, error = said_of(tasks.fail, 1)
    assert (kind, type(error), error.message) == (FAILED, InvalidInput, "`part`: got 1, want another")
    assert "in fail" in "\n".join(error.__notes__)


def test_an_error_that_cannot_be_copied_is_described():
    kind, error = said_of(tasks.fail_uncopied, 0)
    assert (kind, type(error), str(error)) == (FAILED, RuntimeError, "Uncopied: code 7")
    assert "in fail_uncopied" in "\n".join(error.__notes__)


def test_a_result_that_cannot_be_pickled_is_an_error():
    kind, error = said_of(tasks.unpicklable, 0)
    assert kind == FAILED
    assert "pickle" in str(error)


def test_a_task_that_cannot_be_imported_is_an_error():
    task = pickle.dumps(tasks.square).replace(b"square", b"cubeee")
    kind, error = pickle.loads(perform(task, pickle.dumps(1)))
    assert (kind, type(error)) == (FAILED, AttributeError)
