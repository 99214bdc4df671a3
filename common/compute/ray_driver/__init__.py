"""The process that speaks with a Ray cluster for one run of `ray_cluster`: `python -m common.compute.ray_driver`.

Ray's library ends the process that it lives in when it loses its cluster, and cancels everything that a process
began when that ends. So a run has a process of its own: what happens to the cluster does not reach the trainer, and
a run is cancelled by killing this one.
"""
