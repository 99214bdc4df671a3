"""The command `tailorbird`: starts the whole system, demonstrates it, checks a machine, makes keys."""
