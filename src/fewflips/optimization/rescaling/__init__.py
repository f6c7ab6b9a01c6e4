"""Other scales and zero points for activations, within an error budget."""
