"""Parts that several algorithms share; none of them is a recipe by itself."""
