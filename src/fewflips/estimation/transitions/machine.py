"""What the steps of a network's weights cost on a machine: from its unit and cells to energies of steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fewflips.dataflows import dataflow_of
from fewflips.errors import InputError
from fewflips.estimation.calibration.synthetic import synthetic_activations
from fewflips.estimation.transitions.bench import StepBench
from fewflips.estimation.transitions.step_energies import StepEnergies, measure_steps
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.progress import Progress
from fewflips.simulation.run import EnergyOptions
from fewflips.simulation.setup import network_unit, simulated_layers

ENERGY = "energy"
"""Stands for a cost that is measured, where a file of costs can be given; ``energy:CELLS`` names cells, too."""
_MOST_BITS = 9
"""Widest codes whose steps are tabulated."""
_POOL_SEED = 3


def step_energies(
    network: Network,
    array: Accelerator,
    cells: str | Path | CellLibrary = "nangate45",
    *,
    options: EnergyOptions | None = None,
    progress: Progress | None = None,
) -> StepEnergies:
    """Energy of the step between any two codes of weights in the unit that a machine needs for a network.

    Activations are typical ones (:func:`~fewflips.estimation.calibration.synthetic.synthetic_activations`): those of
    the network give orders that are hardly better, and take a run of it. In a machine with coded ports, steps are those
    of the codes in the plain unit.

    Parameters
    ----------
    network : Network
        The network, which says how wide words are.
    array : Accelerator
        The machine.
    cells : str, Path or CellLibrary
        A built-in table's name, a cell table, or a Liberty file.
    options : EnergyOptions, optional
        Step of delays, seed, processors.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    StepEnergies
        Energies, cached.

    Raises
    ------
    FewflipsError
        If weights stand still in the machine's units or have more than 9 bits, or the machine or the cells cannot be
        used.
    """
    options = options or EnergyOptions()
    flow, plain = dataflow_of(array), array.uncoded.model_copy(update={"buffers": None})
    if flow.held_operand == "weights":
        raise InputError(
            f"cost {ENERGY}: expected a machine in which weights stream, in units of {array.name} they stand still: "
            "leave the cost out"
        )
    layers, _ = simulated_layers(network)
    unit = network_unit(layers, plain, load_cells(cells), options, progress=progress)
    if unit.datapath.weights.bits > _MOST_BITS:
        raise InputError(
            f"cost {ENERGY}: expected weights of at most {_MOST_BITS} bits, got {unit.datapath.weights.bits}: give the "
            "calibration.json of `fewflips calibrate`, whose costs are those of bits"
        )
    work = flow.unit_work(layers[0], flow.segments(layers[0], plain), plain)
    bench = StepBench(
        unit,
        synthetic_activations(unit.datapath.activations, np.random.default_rng([options.seed, _POOL_SEED])),
        work.weight_copies,
        work.activation_copies,
        seed=options.seed,
        jobs=options.threads,
    )
    return measure_steps(bench, seed=options.seed, progress=progress)


def energy_cells(given: str, usual: str | Path | CellLibrary) -> str | Path | CellLibrary | None:
    """The cells with which a cost is to be measured, if it is.

    Parameters
    ----------
    given : str
        ``energy``, ``energy:CELLS``, or the name of a file of costs.
    usual : str, Path or CellLibrary
        Cells where none are named.

    Returns
    -------
    str, Path, CellLibrary or None
        Cells; None for a file.

    Examples
    --------
    >>> energy_cells("energy", "nangate45"), energy_cells("energy:my.lib", "nangate45"), energy_cells("a.yaml", "x")
    ('nangate45', 'my.lib', None)
    """
    name, colon, cells = given.partition(":")
    if name != ENERGY:
        return None
    if colon and not cells:
        raise InputError(f"cost {given}: expected cells behind the colon, got nothing: name them, or leave it out")
    return cells or usual
