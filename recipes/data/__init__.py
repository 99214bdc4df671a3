"""What recipes learn from: histories, interactions, columns, and the arrays that they lie in."""
