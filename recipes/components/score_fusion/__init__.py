"""Score fusion: a network, rules, a regression, popularity and repeats; `fit` learns it, `score` applies it."""
