"""Score fusion: a network's scores combined with rules, popularity and repeats; `fit` learns it, `score` applies it."""
