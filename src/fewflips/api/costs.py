"""The cost of a transition that a user asks for: an object, a file, or one that is measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fewflips.estimation.transition_cost_files import read_transition_cost
from fewflips.machine import Accelerator, load_accelerator
from fewflips.network import Network, load
from fewflips.optimization.request import EnergyRequest
from fewflips.progress import Progress
from fewflips.streams.transition_cost import TransitionCost

if TYPE_CHECKING:
    from fewflips.estimation.transition_costs import EnergyCost
    from fewflips.gates.liberty.cells import CellLibrary


def chosen_cost(
    given: TransitionCost | str | Path | None,
    network: Network,
    array: Accelerator,
    energy: EnergyRequest | None,
    *,
    seed: int,
    jobs: int,
    progress: Progress | None = None,
) -> TransitionCost | None:
    """What a user's `cost` stands for.

    Parameters
    ----------
    given : TransitionCost, str, Path or None
        A cost, a file, or ``energy``.
    network : Network
        The network.
    array : Accelerator
        The machine.
    energy : EnergyRequest or None
        Its cells are those of ``energy``, where that names none.
    seed, jobs : int
        Of the measurement.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    TransitionCost or None
        None for flips.

    Raises
    ------
    FewflipsError
        If the file cannot be read, or the machine cannot be measured.
    """
    if not isinstance(given, str | Path):
        return given
    from fewflips.estimation.transitions.machine import energy_cells

    cells = energy_cells(str(given), energy.cells if energy is not None else "nangate45")
    if cells is None:
        return read_transition_cost(given)
    return measured_cost(network, array, cells, seed=seed, jobs=jobs, progress=progress).cost


def measured_cost(
    model: str | Path | Network,
    accelerator: str | Path | Accelerator = "edge16",
    cells: str | Path | CellLibrary = "nangate45",
    *,
    seed: int = 0,
    jobs: int = -1,
    progress: Progress | None = None,
) -> EnergyCost:
    """Measure what each step of a weight between two codes costs in a machine's unit, glitches included.

    Parameters
    ----------
    model : str, Path or Network
        A TFLite or ONNX file, or a network from :func:`fewflips.load`; it says how wide words are.
    accelerator : str, Path or Accelerator
        A built-in machine's name, a YAML file, or an accelerator.
    cells : str, Path or CellLibrary
        A built-in table's name, a cell table, or a Liberty file.
    seed : int
        Of activations.
    jobs : int
        Processors to use; -1 for all.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    EnergyCost
        A table of costs, and what one unit of it is worth.

    Raises
    ------
    FewflipsError
        If the model, the machine or the cells cannot be used, or weights stand still in the machine.
    """
    from fewflips.estimation.transitions.machine import step_energies
    from fewflips.simulation.run import EnergyOptions

    network = model if isinstance(model, Network) else load(model)
    options = EnergyOptions(seed=seed, jobs=jobs)
    return step_energies(network, load_accelerator(accelerator), cells, options=options, progress=progress).cost()
