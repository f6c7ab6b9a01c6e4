"""Protocols of measurement, each with its alternatives and its bound: ``python -m benchmarks.NAME``."""
