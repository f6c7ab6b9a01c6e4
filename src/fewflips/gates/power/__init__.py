"""Energy from toggles, and toggle counts for other power tools."""
