"""A column of an activation-stationary array with its memories and controller, driven by a schedule, as Verilog."""
