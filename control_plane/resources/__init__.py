"""The operations on resources: create, describe, list, update and delete of each kind, on plain values and rows."""
