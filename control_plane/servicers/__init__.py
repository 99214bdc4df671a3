"""Contracts to rows and back; every decision is made elsewhere."""

from control_plane.servicers.control import ControlPlaneServicer
from control_plane.servicers.evaluations import EVALUATION_SERVICE

__all__ = ["CONTROL_PLANE_SERVICER", "EVALUATION_SERVICE"]

#: For the page of operations.
CONTROL_PLANE_SERVICER = ControlPlaneServicer
