"""Epochs of learning, whatever the network."""
