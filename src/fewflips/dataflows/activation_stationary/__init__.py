"""Activation-stationary arrays: weights stream past held activations."""
