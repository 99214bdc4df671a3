"""The commands, one module each: their options, output and exit codes. The work is done in the modules of `cli`."""
