"""Removing the tables and artifacts of deleted resources."""

from trainer.removal.room import RemovalRoom

__all__ = ["RemovalRoom"]
