"""Kinds of resources of which none can be made yet: what is true of them can be said all the same.

Code that cleans up or takes stock walks through the lists of all kinds. Where nothing can be, an empty page and "does
not exist" are answers as right as any; only Create operations have to say that they are not built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["ABSENT_KINDS", "ABSENT_LISTS", "ABSENT_LOOKS", "AbsentList", "AbsentLook"]

#: As in ARNs.
ABSENT_KINDS: Final = frozenset(
    {
        "batch-inference-job",
        "batch-segment-job",
        "data-deletion-job",
        "dataset-export-job",
        "filter",
        "metric-attribution",
        "recommender",
    }
)


@dataclass(frozen=True, slots=True)
class AbsentList:
    """A list operation.

    Attributes:
        member: Of its answer, which holds the list.
        parent: Member of the request that asks for the entries of one resource only.
        parent_kind: Kind of that resource, as in its ARN.
    """

    member: str
    parent: str
    parent_kind: str


@dataclass(frozen=True, slots=True)
class AbsentLook:
    """An operation on one resource.

    Attributes:
        member: Of its request, which names the resource.
        kind: Of the resource, as in its ARN.
    """

    member: str
    kind: str


_OF_GROUP: Final = ("datasetGroupArn", "dataset-group")
_OF_VERSION: Final = ("solutionVersionArn", "solution")

ABSENT_LISTS: Final[Mapping[str, AbsentList]] = {
    "ListBatchInferenceJobs": AbsentList("batchInferenceJobs", *_OF_VERSION),
    "ListBatchSegmentJobs": AbsentList("batchSegmentJobs", *_OF_VERSION),
    "ListDataDeletionJobs": AbsentList("dataDeletionJobs", *_OF_GROUP),
    "ListDatasetExportJobs": AbsentList("datasetExportJobs", "datasetArn", "dataset"),
    "ListFilters": AbsentList("Filters", *_OF_GROUP),
    "ListMetricAttributionMetrics": AbsentList("metrics", "metricAttributionArn", "metric-attribution"),
    "ListMetricAttributions": AbsentList("metricAttributions", *_OF_GROUP),
    "ListRecommenders": AbsentList("recommenders", *_OF_GROUP),
}

ABSENT_LOOKS: Final[Mapping[str, AbsentLook]] = {
    "DeleteFilter": AbsentLook("filterArn", "filter"),
    "DeleteMetricAttribution": AbsentLook("metricAttributionArn", "metric-attribution"),
    "DeleteRecommender": AbsentLook("recommenderArn", "recommender"),
    "DescribeBatchInferenceJob": AbsentLook("batchInferenceJobArn", "batch-inference-job"),
    "DescribeBatchSegmentJob": AbsentLook("batchSegmentJobArn", "batch-segment-job"),
    "DescribeDataDeletionJob": AbsentLook("dataDeletionJobArn", "data-deletion-job"),
    "DescribeDatasetExportJob": AbsentLook("datasetExportJobArn", "dataset-export-job"),
    "DescribeFilter": AbsentLook("filterArn", "filter"),
    "DescribeMetricAttribution": AbsentLook("metricAttributionArn", "metric-attribution"),
    "DescribeRecommender": AbsentLook("recommenderArn", "recommender"),
    "StartRecommender": AbsentLook("recommenderArn", "recommender"),
    "StopRecommender": AbsentLook("recommenderArn", "recommender"),
    "UpdateMetricAttribution": AbsentLook("metricAttributionArn", "metric-attribution"),
    "UpdateRecommender": AbsentLook("recommenderArn", "recommender"),
}
