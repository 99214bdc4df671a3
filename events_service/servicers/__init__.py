"""The gRPC services of the events service: messages in, calls of the parts, messages out."""
