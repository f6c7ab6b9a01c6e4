"""Energy of a network, estimated from flips by a calibration."""
