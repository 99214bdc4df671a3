"""ControlPlaneService: the public operations, put together; those that are not built yet are refused by name."""

from __future__ import annotations

from common.operations import unimplemented_methods
from control_plane.servicers.absent_operations import ABSENT_STATES, AbsentOperations
from control_plane.servicers.dataset_operations import DatasetOperations, ImportOperations, TrackerOperations
from control_plane.servicers.model_operations import CampaignOperations, RecipeOperations, SolutionOperations
from control_plane.servicers.operations import answers
from control_plane.servicers.tag_operations import TagOperations
from protos.tailorbird.control.v1 import control_plane_service_pb2

__all__ = ["SERVICE", "ControlPlaneServicer"]

SERVICE = control_plane_service_pb2.DESCRIPTOR.services_by_name["ControlPlaneService"]


@unimplemented_methods(SERVICE, partly=ABSENT_STATES)
@answers(SERVICE)
class ControlPlaneServicer(
    DatasetOperations,
    ImportOperations,
    TrackerOperations,
    RecipeOperations,
    SolutionOperations,
    CampaignOperations,
    TagOperations,
    AbsentOperations,
):
    """All operations of Personalize's control plane.

    The generated base is left out: the decorators give the class every method of the contract.
    """
