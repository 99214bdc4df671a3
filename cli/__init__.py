"""`tailorbird`: start the whole system, show it at work, check a machine, make keys."""
