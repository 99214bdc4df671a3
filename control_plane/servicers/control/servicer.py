"""ControlPlaneService, put together of the classes of methods for each kind of resource."""

from __future__ import annotations

from control_plane.servicers.control.batch_jobs import BatchInferenceJobMethods, BatchSegmentJobMethods
from control_plane.servicers.control.campaigns import CampaignMethods
from control_plane.servicers.control.data_jobs import DeletionJobMethods, ExportJobMethods, ImportJobMethods
from control_plane.servicers.control.datasets import DatasetGroupMethods, DatasetMethods, SchemaMethods
from control_plane.servicers.control.event_trackers import EventTrackerMethods, TagMethods
from control_plane.servicers.control.filters import FilterMethods, MetricAttributionMethods
from control_plane.servicers.control.recipes import AlgorithmMethods, RecipeMethods
from control_plane.servicers.control.recommenders import RecommenderMethods
from control_plane.servicers.control.solutions import SolutionMethods, SolutionVersionMethods
from protos.tailorbird.control.v1 import control_plane_service_pb2, control_plane_service_pb2_grpc

__all__ = ["CONTROL_PLANE_SERVICE", "ControlPlaneServicer"]

CONTROL_PLANE_SERVICE = control_plane_service_pb2.DESCRIPTOR.services_by_name["ControlPlaneService"]


class ControlPlaneServicer(
    DatasetGroupMethods,
    SchemaMethods,
    DatasetMethods,
    ImportJobMethods,
    ExportJobMethods,
    DeletionJobMethods,
    FilterMethods,
    MetricAttributionMethods,
    EventTrackerMethods,
    TagMethods,
    RecipeMethods,
    AlgorithmMethods,
    SolutionMethods,
    SolutionVersionMethods,
    CampaignMethods,
    RecommenderMethods,
    BatchInferenceJobMethods,
    BatchSegmentJobMethods,
    control_plane_service_pb2_grpc.ControlPlaneServiceServicer,
):
    """All operations of Personalize's control plane."""
