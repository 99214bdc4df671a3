"""Measurements: one command each; figures with machine and date stand in README.md."""
