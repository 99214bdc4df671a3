"""Files of jobs: where a location leads, reading what is there (`sources`), and writing results (`outputs`)."""
