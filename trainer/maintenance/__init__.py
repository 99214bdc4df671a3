"""Putting tables and artifacts in order."""

from trainer.maintenance.handler import MaintenanceJobHandler

__all__ = ["MaintenanceJobHandler"]
