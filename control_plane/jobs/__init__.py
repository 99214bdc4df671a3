"""The job queue, kept in the metadata store: leases, heartbeats, expiry, retries."""
