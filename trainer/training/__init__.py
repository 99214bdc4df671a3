"""Training solution versions: data are frozen here, fitted in a child process, and published here."""

from trainer.training.room import TrainingRoom

__all__ = ["TrainingRoom"]
