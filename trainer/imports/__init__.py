"""Importing files of rows into the tables of datasets."""

from trainer.imports.handler import ImportJobHandler

__all__ = ["ImportJobHandler"]
