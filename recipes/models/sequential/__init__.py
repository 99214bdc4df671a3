"""What families of sequence recipes share: all but the configuration and the network, in JAX and in NumPy."""
