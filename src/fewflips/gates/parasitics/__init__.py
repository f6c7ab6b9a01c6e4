"""Capacitances of wires."""
