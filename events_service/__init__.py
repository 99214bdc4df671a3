"""Takes events: durable log first, then runtimes' tails and the interactions tables."""
