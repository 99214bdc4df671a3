"""Offline evaluation: splits, full ranking over the catalogue, and Personalize's metrics."""
