"""Trending-Now: the items whose interactions increase most from one interval to the next."""
