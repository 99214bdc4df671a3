"""The rules of requests and of states of resources. Pure functions and values: no I/O, no SQL, no gRPC."""
