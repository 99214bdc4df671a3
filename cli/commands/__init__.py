"""The commands, one module each: options, output and exit codes; the work is done elsewhere."""
