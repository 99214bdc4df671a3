"""The gRPC side: turns messages into calls of the resources, the queue and the assignments, and results back."""
