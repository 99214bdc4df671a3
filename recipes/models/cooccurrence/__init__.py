"""SIMS: items by the users that they have in common."""
