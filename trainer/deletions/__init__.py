"""Deleting all data of some users: from tables and the event log, and finding where a user is and is not."""

from trainer.deletions.handler import DeletionJobHandler
from trainer.deletions.search import UserSearchHandler

__all__ = ["DeletionJobHandler", "UserSearchHandler"]
