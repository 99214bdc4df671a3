"""The control plane: resources, their rules, and the job queue. The other services call it; it calls none of them."""
