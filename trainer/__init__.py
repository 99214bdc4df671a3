"""The worker process: leases long jobs from the control plane, does them, and reports."""
