"""Energy of the step of a weight from one code to another, measured at gate level."""
