"""Netlists: synthesized, read, checked, written."""
