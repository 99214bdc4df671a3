"""Items regressed on items over whole histories: `fit` learns the weights, `score` says what a history speaks for."""
