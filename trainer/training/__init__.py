"""Training solution versions: data are frozen here, fitted in a child process, and published here."""

from trainer.training.handler import TrainingJobHandler

__all__ = ["TrainingJobHandler"]
