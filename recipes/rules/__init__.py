"""Sequence rules: a baseline without training that many networks do not reach, so every recipe is compared with it."""

from recipes.rules.sequence import SequenceRules

__all__ = ["SequenceRules"]
