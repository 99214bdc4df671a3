"""What is served: artifacts loaded and verified, campaigns as the control plane assigns them."""
