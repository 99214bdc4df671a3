"""Answers that the workers of this host gave a moment ago, for those who ask why they are what they are."""
