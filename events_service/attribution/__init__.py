"""Metric attribution: what recommendations and other sources led to, counted from the log, in reports and figures.

`counter` is the consumer of the log, `state` keeps its sums and cursors, `reports` writes them as CSV, `figures` shows
them to Prometheus.
"""
