"""The resources that operations need permission for, over all operations of the API."""

import botocore.session
import pytest
from google.protobuf.message_factory import GetMessageClass

from common.arn import ArnFactory
from common.auth import Account, resources_of
from common.auth.resources import RESOURCES, created_arn
from gateway.protocol import ADDITIONS, CONTRACTS
from protos.tailorbird.control.v1 import campaign_pb2, evaluation_service_pb2, solution_pb2
from protos.tailorbird.runtime.v1 import explanation_service_pb2

ACCOUNT = Account("123456789012", ArnFactory("eu-west-1"))
PREFIX = "arn:aws:personalize:eu-west-1:123456789012"
OPERATIONS = [(service, method.name) for service, contract in CONTRACTS.items() for method in contract.methods]
#: What AWS's service authorization reference says to have no resource.
WITHOUT = {"ListMetricAttributionMetrics", "PutEvents", "PutActionInteractions"}
#: Kind of the ARN of what is made, and what else is needed.
CREATIONS = {
    "CreateBatchInferenceJob": ("batch-inference-job/N", "solutionVersionArn"),
    "CreateBatchSegmentJob": ("batch-segment-job/N",),
    "CreateCampaign": ("campaign/N", "solutionVersionArn"),
    "CreateDataDeletionJob": ("data-deletion-job/N", "datasetGroupArn"),
    "CreateDataset": ("dataset/of-datasetGroupArn/ITEMS", "datasetGroupArn"),
    "CreateDatasetExportJob": ("dataset-export-job/N", "datasetArn"),
    "CreateDatasetGroup": ("dataset-group/N",),
    "CreateDatasetImportJob": ("dataset-import-job/N", "datasetArn"),
    "CreateEventTracker": ("event-tracker/*", "datasetGroupArn"),
    "CreateFilter": ("filter/N", "datasetGroupArn"),
    "CreateMetricAttribution": ("metric-attribution/N", "datasetGroupArn"),
    "CreateRecommender": ("recommender/N", "datasetGroupArn"),
    "CreateSchema": ("schema/N",),
    "CreateSolution": ("solution/N", "datasetGroupArn"),
}


def input_shape(service, operation):
    return botocore.session.Session().get_service_model(service).operation_model(operation).input_shape


def arn_in(member):
    return f"{PREFIX}:thing/of-{member}"


def request_of(service, operation):
    """Return a request with a different ARN in every member that holds one, and names."""
    method = CONTRACTS[service].methods_by_name[operation]
    request = GetMessageClass(method.input_type)()
    by_member = {field.json_name: field.name for field in method.input_type.fields}
    for member in input_shape(service, operation).members:
        if member.endswith("Arn"):
            setattr(request, by_member[member], arn_in(member))
        elif member in ("name", "jobName"):
            setattr(request, by_member[member], "N")
        elif member == "datasetType":
            request.dataset_type = "Items"
    return request


def expected(service, operation):
    """Return the resources of a call, from the shape and the rules of the reference, without our table."""
    if operation in CREATIONS:
        made, *others = CREATIONS[operation]
        return (f"{PREFIX}:{made}", *(arn_in(member) for member in others))
    if operation in WITHOUT or (operation.startswith("List") and operation != "ListTagsForResource"):
        return ("*",)
    shape = input_shape(service, operation)
    kind = operation.removeprefix(next(verb for verb in VERBS if operation.startswith(verb)))
    member = MEMBERS.get(operation) or f"{kind[:1].lower()}{kind[1:]}Arn"
    assert member in shape.members, (operation, member)
    return (arn_in(member),)


VERBS = ("Create", "Describe", "Delete", "Update", "Start", "Stop", "Get", "Put", "Tag", "Untag", "List")
#: Where the member is not called as the operation is.
MEMBERS = {
    "CreateSolutionVersion": "solutionArn",
    "GetActionRecommendations": "campaignArn",
    "GetPersonalizedRanking": "campaignArn",
    "GetRecommendations": "campaignArn",
    "GetSolutionMetrics": "solutionVersionArn",
    "ListTagsForResource": "resourceArn",
    "PutActions": "datasetArn",
    "PutItems": "datasetArn",
    "PutUsers": "datasetArn",
    "StopSolutionVersionCreation": "solutionVersionArn",
    "TagResource": "resourceArn",
    "UntagResource": "resourceArn",
}


def test_there_are_79_operations():
    assert len(OPERATIONS) == 79


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
def test_resources_are_those_of_the_reference(service, operation):
    assert resources_of(operation, request_of(service, operation), ACCOUNT) == expected(service, operation)


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
def test_a_request_without_members_names_no_foreign_resource(service, operation):
    empty = GetMessageClass(CONTRACTS[service].methods_by_name[operation].input_type)()

    resources = resources_of(operation, empty, ACCOUNT)

    assert resources
    assert all(resource == "*" or resource.startswith(f"{PREFIX}:") for resource in resources)


def test_the_table_has_no_operation_that_does_not_exist():
    contracts = [evaluation_service_pb2.DESCRIPTOR.services_by_name["EvaluationService"], *ADDITIONS.values()]
    ours = {method.name for contract in contracts for method in contract.methods}

    assert RESOURCES.keys() <= {name for _, name in OPERATIONS} | ours


def test_our_own_operations_name_their_resource():
    version = evaluation_service_pb2.GetSolutionVersionEvaluationRequest(solution_version_arn="arn:v")
    compared = evaluation_service_pb2.CompareSolutionVersionsRequest(solution_arn="arn:s")

    explained = explanation_service_pb2.ExplainRecommendationsRequest(
        recommender_arn="arn:r", recommendation_id="RID-1"
    )

    assert resources_of("ExplainRecommendations", explained, ACCOUNT) == ("arn:r",)
    assert resources_of("GetSolutionVersionEvaluation", version, ACCOUNT) == ("arn:v",)
    assert resources_of("CompareSolutionVersions", compared, ACCOUNT) == ("arn:s",)


def test_a_recommender_is_a_resource_where_no_campaign_is_named():
    request_class = GetMessageClass(CONTRACTS["personalize-runtime"].methods_by_name["GetRecommendations"].input_type)

    assert resources_of("GetRecommendations", request_class(recommender_arn="arn:r"), ACCOUNT) == ("arn:r",)


def test_what_was_made_is_told_by_the_response():
    assert created_arn(solution_pb2.CreateSolutionResponse(solution_arn="arn:s")) == "arn:s"
    assert created_arn(campaign_pb2.DeleteCampaignResponse()) is None
