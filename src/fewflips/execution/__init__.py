"""Runs networks in their formats' own runtimes."""
