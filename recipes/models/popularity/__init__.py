"""Popularity-Count: every item by the number of distinct users who used it, one list for everybody."""
