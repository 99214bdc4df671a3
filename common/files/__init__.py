"""Files that users name by `s3://` and `file://`: where a location leads, and writing results (`outputs`)."""
