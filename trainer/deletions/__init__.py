"""Deleting all data of some users: from tables and the event log, and finding the models that still have them."""

from trainer.deletions.handler import DeletionJobHandler

__all__ = ["DeletionJobHandler"]
