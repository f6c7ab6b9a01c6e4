"""Flips of every layer of a network."""
