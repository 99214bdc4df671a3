"""Pure rules: what a request may say, and how resources move between states. No I/O, no SQL, no gRPC."""
