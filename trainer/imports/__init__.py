"""Importing CSV files into the tables of datasets."""

from trainer.imports.room import ImportRoom

__all__ = ["ImportRoom"]
