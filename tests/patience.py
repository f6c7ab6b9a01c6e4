"""How long tests wait."""

PATIENCE_S = 600.0
"""For what should come at once, in seconds: long enough for any machine, so that only what hangs takes as long."""
