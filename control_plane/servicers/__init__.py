"""Contracts to rows and back; every decision is made elsewhere."""

from control_plane.servicers.control import ControlPlaneServicer

__all__ = ["CONTROL_PLANE_SERVICER"]

#: For the page of operations.
CONTROL_PLANE_SERVICER = ControlPlaneServicer
