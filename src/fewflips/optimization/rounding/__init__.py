"""Rounding weights so that neighbours in the stream agree, within an error budget."""
