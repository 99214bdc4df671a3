"""Themes: what the items of a list have in common, said in a few words, and how much each item is about it."""
