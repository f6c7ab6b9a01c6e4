"""Compiled kernels, and the cache that they are kept in."""
