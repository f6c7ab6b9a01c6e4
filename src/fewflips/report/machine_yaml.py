"""Machines as YAML, as they are read again."""

from __future__ import annotations

import yaml

from fewflips.records.exploration import DetailedMachine


def machine_yaml(machine: DetailedMachine) -> dict[str, str]:
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
    return {
        mode.dataflow: above + yaml.safe_dump(mode.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        for mode in machine.modes
    }
