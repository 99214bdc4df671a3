"""What items are by their columns and texts: sparse features, and dense vectors in which like items point alike."""
