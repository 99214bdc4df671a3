"""Files of jobs: reading what is at a location (`sources`)."""
