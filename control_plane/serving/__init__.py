"""What the runtimes are to serve, what they report, and what becomes of campaigns by it."""
