"""Machines and energies in the formats of other design-space tools."""
