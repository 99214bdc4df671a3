"""Rules of the trainer: no network, no disk, no frames."""
