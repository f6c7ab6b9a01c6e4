"""Energy against flips: sweeps of an arithmetic unit, the curve that follows from them, and how well it predicts."""
