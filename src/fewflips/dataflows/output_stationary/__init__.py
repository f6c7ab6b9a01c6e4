"""Output-stationary arrays: both operands stream past accumulators."""
