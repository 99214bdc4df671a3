"""Batch jobs: what is asked line by line in files is answered line by line in files.

`lines` says what a line and its answer are, `inputs` cuts files into parts, `results` puts the answers of parts into
files, and `runner` leads a job from its input to its output.
"""
