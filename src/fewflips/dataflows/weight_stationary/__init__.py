"""Weight-stationary arrays: activations stream past held weights."""
