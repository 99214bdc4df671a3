"""User-Personalization v2: a causal transformer over each user's sequence of items."""
