"""The gRPC services of the runtime: messages in, calls of the parts, messages out."""
