"""The control plane: resources, their rules, and the queue of long work. It calls nobody; everybody asks it."""
