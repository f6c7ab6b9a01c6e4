"""The self-contained page about an optimization."""
