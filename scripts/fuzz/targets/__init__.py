"""Entries that read the inputs, as the commands call them."""
