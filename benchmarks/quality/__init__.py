"""How good recommendations are: published protocols on real data, through the recipes' ordinary code."""
