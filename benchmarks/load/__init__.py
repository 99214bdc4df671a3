"""Load on servers: generators in C and in Python, at a bounded number of calls in flight or at a given rate."""
