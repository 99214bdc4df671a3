"""The algorithms: one folder a family, fitted with JAX, scored with NumPy alone, and evaluated offline."""
