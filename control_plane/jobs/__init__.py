"""The queue of long work, kept in the catalogue: leases, heartbeats, expiry, retries."""
