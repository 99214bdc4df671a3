"""Training of solution versions: the snapshot, the training process and what runs in it, the publication."""

from trainer.training.handler import TrainingJobHandler

__all__ = ["TrainingJobHandler"]
