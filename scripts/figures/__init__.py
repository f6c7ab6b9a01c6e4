"""Figures of the README and of docs: where each comes from, and writing them from there."""
