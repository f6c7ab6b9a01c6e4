"""Machines and energies in the formats of other tools."""
