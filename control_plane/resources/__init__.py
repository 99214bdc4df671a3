"""The operations on resources: what each create, describe, list, update and delete does, in plain values and rows."""
