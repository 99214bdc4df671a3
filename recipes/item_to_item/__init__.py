"""Item to item: which items belong together, by counting (SIMS) and by a closed-form regression (Similar-Items).

Both families of weights end up as the same thing, a few hundred neighbours of each item, and are served alike: the
neighbours of one item for a related-items request, those of a whole history added up when used as a recommender.
"""
