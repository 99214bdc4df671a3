"""The contracts between the processes and, generated beside them, their Python stubs."""
