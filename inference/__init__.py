"""From a request to ranked items, for the runtime, batch jobs and evaluation alike: NumPy only, no service, no gRPC."""
