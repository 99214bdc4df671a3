"""Importing CSV files into the tables of datasets."""

from trainer.imports.handler import ImportJobHandler

__all__ = ["ImportJobHandler"]
