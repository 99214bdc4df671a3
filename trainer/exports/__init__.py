"""Dataset export jobs: the rows of a table as CSV files."""

from trainer.exports.handler import ExportJobHandler

__all__ = ["ExportJobHandler"]
