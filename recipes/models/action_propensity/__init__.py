"""Next-Best-Action: how likely a user takes each of some actions, given what the user did with items and actions."""
