"""The parts of a training stage."""
