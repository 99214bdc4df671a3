"""Finding the items of the largest inner products: the port, and its exact and approximate implementations.

Building and calibrating happen where a model is trained, searching where it is served; both need NumPy, Numba and Annoy
only. A fit scores its held-out users by `scoring` and needs no index, so nothing is imported here.
"""
