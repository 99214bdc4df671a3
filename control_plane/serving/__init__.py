"""What the runtimes are to serve, what they report, and what becomes of campaigns and recommenders by it."""
