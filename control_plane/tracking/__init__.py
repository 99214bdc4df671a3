"""The set of event trackers, the events services that watch it, and the deletions that wait for these."""
