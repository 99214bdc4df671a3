"""The client of Tailorbird: channels (`tailorbird.client`) and, below, the stubs of its services."""
