"""Requests that update what differs, also while an earlier update is in progress."""

from cli.declaration.existing import Existing
from cli.declaration.kinds import Kind
from cli.declaration.members import fill, to_members
from cli.declaration.updates import described_after_update, resource_differences, update_request
from protos.tailorbird.control.v1 import common_pb2
from protos.tailorbird.control.v1.dataset_pb2 import Dataset
from protos.tailorbird.control.v1.schema_pb2 import CreateSchemaRequest, DatasetSchema
from protos.tailorbird.control.v1.solution_pb2 import CreateSolutionRequest, Solution

ARN = "arn:aws:personalize:eu-west-1:123456789012:solution/films"


def made(kind, **members):
    message = kind()
    fill(message, members)
    return message


def schedule(days):
    return {"autoTrainingConfig": {"schedulingExpression": f"rate({days} days)"}}


def weights(weight):
    return {"eventsConfig": {"eventParametersList": [{"eventType": "watch", "weight": weight}]}}


def solution(update=None):
    described = made(
        Solution,
        performAutoTraining=True,
        solutionConfig={**schedule(7), **weights(0.5), "algorithmHyperParameters": {"epochs": "8"}},
    )
    if update is not None:
        fill(described.latest_solution_update, update)
        described.latest_solution_update.status = common_pb2.RESOURCE_STATUS_CREATE_IN_PROGRESS
    return Existing(Kind.SOLUTION, "films", ARN, described)


def request_for(existing, **members):
    declared = made(CreateSolutionRequest, **members)
    current = described_after_update(existing)
    changes = resource_differences(declared, current, Kind.SOLUTION)
    return [item.path for item in changes], to_members(update_request(Kind.SOLUTION, ARN, declared, current, changes))


def test_only_the_parts_that_differ_are_sent():
    paths, request = request_for(solution(), performAutoTraining=True, solutionConfig=schedule(14))
    assert paths == ["solutionConfig.autoTrainingConfig.schedulingExpression"]
    assert request == {"solutionArn": ARN, "solutionUpdateConfig": schedule(14)}
    paths, request = request_for(solution(), performAutoTraining=False, solutionConfig=weights(1.0))
    assert request == {"solutionArn": ARN, "performAutoTraining": False, "solutionUpdateConfig": weights(1.0)}


def test_an_update_in_progress_counts_as_done():
    existing = solution({"performAutoTraining": False, "solutionUpdateConfig": schedule(14)})
    assert request_for(existing, performAutoTraining=False, solutionConfig=schedule(14))[0] == []
    paths, request = request_for(existing, performAutoTraining=True, solutionConfig=schedule(14))
    assert paths == ["performAutoTraining"]
    assert request == {"solutionArn": ARN, "performAutoTraining": True}


def test_a_dataset_has_the_schema_of_its_running_update():
    described = Dataset(schema_arn="a")
    described.latest_dataset_update.schema_arn = "b"
    described.latest_dataset_update.status = common_pb2.RESOURCE_STATUS_CREATE_PENDING
    assert described_after_update(Existing(Kind.DATASET, "items", ARN, described)).schema_arn == "b"


def test_schemas_are_compared_as_json():
    described = DatasetSchema(schema='{"type": "record", "fields": []}')
    same = CreateSchemaRequest(schema='{"fields":[],"type":"record"}')
    assert resource_differences(same, described, Kind.SCHEMA) == []
    for text in ('{"fields":[],"type":"map"}', "no JSON"):
        other = CreateSchemaRequest(schema=text)
        assert [item.path for item in resource_differences(other, described, Kind.SCHEMA)] == ["schema"]
