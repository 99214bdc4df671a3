"""The resources that each operation needs permission for: AWS's service authorization reference as one table.

An operation on a resource needs it for that resource; a creation for the ARN that is about to be made and, as in AWS,
for what it is made of. Lists, and the operations that name a tracking id, know no resources: they need it for `*`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.message import Message

from common.arn import ArnFactory

__all__ = ["ANY_RESOURCE", "RESOURCES", "Account", "created_arn", "resources_of"]

ANY_RESOURCE: Final = "*"


class Account:
    """An account in a region, for the ARNs that operations are about to make.

    Args:
        account: 12 digits.
        arns: Makes the ARNs of the region.
    """

    __slots__ = ("_arns", "account")

    def __init__(self, account: str, arns: ArnFactory) -> None:
        self.account = account
        self._arns = arns

    def arn(self, kind: str, name: str) -> str:
        """Return the ARN of a resource of the account."""
        return self._arns.make(kind, name, account=self.account)


Rule = Callable[[Any, Account], str]


def _field(*names: str) -> Rule:
    """Return the rule that the resource is the first of some members that is set."""
    return lambda request, _: next((value for name in names if (value := getattr(request, name))), ANY_RESOURCE)


def _new(kind: str, name: str = "name") -> Rule:
    """Return the rule that the resource is one of a kind, with the name in the request."""
    return lambda request, account: account.arn(kind, getattr(request, name))


def _new_dataset(request: Any, account: Account) -> str:
    group = request.dataset_group_arn.rpartition("/")[2]
    return account.arn("dataset", f"{group}/{request.dataset_type.upper()}")


def _new_event_tracker(_: Any, account: Account) -> str:
    # Its name is made when it is created, so a policy can name all of them only.
    return account.arn("event-tracker", ANY_RESOURCE)


_GROUP: Final = _field("dataset_group_arn")
_VERSION: Final = _field("solution_version_arn")

#: By operation; of those that are not here, `*` is the resource.
RESOURCES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "CompareSolutionVersions": (_field("solution_arn"),),
    "CreateBatchInferenceJob": (_new("batch-inference-job", "job_name"), _VERSION),
    "CreateBatchSegmentJob": (_new("batch-segment-job", "job_name"),),
    "CreateCampaign": (_new("campaign"), _VERSION),
    "CreateDataDeletionJob": (_new("data-deletion-job", "job_name"), _GROUP),
    "CreateDataset": (_new_dataset, _GROUP),
    "CreateDatasetExportJob": (_new("dataset-export-job", "job_name"), _field("dataset_arn")),
    "CreateDatasetGroup": (_new("dataset-group"),),
    "CreateDatasetImportJob": (_new("dataset-import-job", "job_name"), _field("dataset_arn")),
    "CreateEventTracker": (_new_event_tracker, _GROUP),
    "CreateFilter": (_new("filter"), _GROUP),
    "CreateMetricAttribution": (_new("metric-attribution"), _GROUP),
    "CreateRecommender": (_new("recommender"), _GROUP),
    "CreateSchema": (_new("schema"),),
    "CreateSolution": (_new("solution"), _GROUP),
    "CreateSolutionVersion": (_field("solution_arn"),),
    "DeleteCampaign": (_field("campaign_arn"),),
    "DeleteDataset": (_field("dataset_arn"),),
    "DeleteDatasetGroup": (_GROUP,),
    "DeleteEventTracker": (_field("event_tracker_arn"),),
    "DeleteFilter": (_field("filter_arn"),),
    "DeleteMetricAttribution": (_field("metric_attribution_arn"),),
    "DeleteRecommender": (_field("recommender_arn"),),
    "DeleteSchema": (_field("schema_arn"),),
    "DeleteSolution": (_field("solution_arn"),),
    "DescribeAlgorithm": (_field("algorithm_arn"),),
    "DescribeBatchInferenceJob": (_field("batch_inference_job_arn"),),
    "DescribeBatchSegmentJob": (_field("batch_segment_job_arn"),),
    "DescribeCampaign": (_field("campaign_arn"),),
    "DescribeDataDeletionJob": (_field("data_deletion_job_arn"),),
    "DescribeDataset": (_field("dataset_arn"),),
    "DescribeDatasetExportJob": (_field("dataset_export_job_arn"),),
    "DescribeDatasetGroup": (_GROUP,),
    "DescribeDatasetImportJob": (_field("dataset_import_job_arn"),),
    "DescribeEventTracker": (_field("event_tracker_arn"),),
    "DescribeFeatureTransformation": (_field("feature_transformation_arn"),),
    "DescribeFilter": (_field("filter_arn"),),
    "DescribeMetricAttribution": (_field("metric_attribution_arn"),),
    "DescribeRecipe": (_field("recipe_arn"),),
    "DescribeRecommender": (_field("recommender_arn"),),
    "DescribeSchema": (_field("schema_arn"),),
    "DescribeSolution": (_field("solution_arn"),),
    "DescribeSolutionVersion": (_VERSION,),
    "ExplainRecommendations": (_field("campaign_arn", "recommender_arn"),),
    "GetActionRecommendations": (_field("campaign_arn"),),
    "GetPersonalizedRanking": (_field("campaign_arn"),),
    "GetRecommendations": (_field("campaign_arn", "recommender_arn"),),
    "GetSolutionMetrics": (_VERSION,),
    "GetSolutionVersionEvaluation": (_VERSION,),
    "ListTagsForResource": (_field("resource_arn"),),
    "PutActions": (_field("dataset_arn"),),
    "PutItems": (_field("dataset_arn"),),
    "PutUsers": (_field("dataset_arn"),),
    "StartRecommender": (_field("recommender_arn"),),
    "StopRecommender": (_field("recommender_arn"),),
    "StopSolutionVersionCreation": (_VERSION,),
    "TagResource": (_field("resource_arn"),),
    "UntagResource": (_field("resource_arn"),),
    "UpdateCampaign": (_field("campaign_arn"),),
    "UpdateDataset": (_field("dataset_arn"),),
    "UpdateMetricAttribution": (_field("metric_attribution_arn"),),
    "UpdateRecommender": (_field("recommender_arn"),),
    "UpdateSolution": (_field("solution_arn"),),
}


def resources_of(operation: str, request: Message, account: Account) -> tuple[str, ...]:
    """Return the ARNs that a call needs permission for, the one that it is about first; `*` where it has none.

    Args:
        operation: As in the API.
        request: The call's message.
        account: The caller's.
    """
    return tuple(rule(request, account) for rule in RESOURCES.get(operation, ())) or (ANY_RESOURCE,)


def created_arn(response: Message) -> str | None:
    """Return the ARN that a creation answered with; None when there is none."""
    return next(
        (
            str(value)
            for field, value in response.ListFields()
            if field.name.endswith("_arn") and not field.is_repeated and isinstance(value, str)
        ),
        None,
    )
