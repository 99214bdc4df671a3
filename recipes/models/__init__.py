"""The algorithms, a folder each: `config`, `fit` (which may use JAX) and `score` (NumPy alone)."""
