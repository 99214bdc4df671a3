"""What faults cost: one command each, bounded to a minute, on loopback; figures in benchmarks/README.md."""
