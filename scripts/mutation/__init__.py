"""Mutation tests of the modules on which every figure and every proof rests; `python -m scripts.mutation --help`."""
