"""Machines as YAML, as they are read again."""

from __future__ import annotations

from fewflips.machine.yaml_text import machine_yaml
from fewflips.records.exploration import DetailedMachine


def explored_machine_yaml(machine: DetailedMachine) -> dict[str, str]:
    """A machine that was found as YAML.

    Parameters
    ----------
    machine : DetailedMachine
        The machine.

    Returns
    -------
    dict of str to str
        For each of its dataflows a file; the settings that are not the machine's are in a comment above.
    """
    above = f"# orders: {machine.orders}, cells: {machine.cells}, clock_mhz: {machine.clock_mhz:g}\n"
    return {mode.dataflow: above + machine_yaml(mode) for mode in machine.modes}
