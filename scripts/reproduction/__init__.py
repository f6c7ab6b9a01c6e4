"""Reproduction of the paper's result: train, measure, simulate, and write the tables (results/)."""
