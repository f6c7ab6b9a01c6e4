"""The energy of a whole network in an accelerator's arithmetic units, simulated at gate level."""
