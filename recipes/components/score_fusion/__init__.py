"""What is learnt on top of a network, how far to trust it, rules and repeats: `fit` learns it, `score` applies it."""
