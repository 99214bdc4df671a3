"""Fitting networks: `sequence_model` from top to bottom, and the parts that it puts together, one port a file."""
