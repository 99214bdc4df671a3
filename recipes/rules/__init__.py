"""Sequence rules: a baseline without training that many networks do not reach, and a part of those that do."""

from recipes.rules.followers import PLACES, Followers, RuleShape
from recipes.rules.learning import learn_shape
from recipes.rules.sequence import SequenceRules

__all__ = ["PLACES", "Followers", "RuleShape", "SequenceRules", "learn_shape"]
