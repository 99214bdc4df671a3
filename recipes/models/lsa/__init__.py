"""Semantic-Similarity: items whose names and texts are alike, whoever used them."""
