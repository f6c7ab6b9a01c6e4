"""Mutated inputs for everything that fewflips reads; `python -m scripts.fuzz --help`."""
