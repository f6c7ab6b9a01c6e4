"""Which channels share a segment, together with the orders of all segments."""
