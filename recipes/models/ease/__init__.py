"""EASE: every item regressed on the others in closed form."""
