"""Schedules: the order of every segment, as a file, and executed."""
