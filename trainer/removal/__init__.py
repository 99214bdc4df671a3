"""Removing the tables and artifacts of deleted resources."""

from trainer.removal.handler import RemovalJobHandler

__all__ = ["RemovalJobHandler"]
