"""ControlPlaneService: the public operations, a class of methods for each kind of resource."""
