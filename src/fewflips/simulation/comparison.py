"""Energy before and after optimization: stored order, schedule and drop-in file through the same gates."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fewflips.dataflows.orders import LayerOrders, natural_orders
from fewflips.execution.activations import measurable_layers
from fewflips.execution.samples import Samples
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.progress import Progress
from fewflips.records.energy import LayerEnergy
from fewflips.records.optimization import EnergyComparison, EnergyResult
from fewflips.simulation.records import cells_record, datapath_record, total_energy
from fewflips.simulation.run import EnergyOptions, NetworkRun, simulate_network
from fewflips.simulation.setup import energy_settings, network_unit, random_sample, simulated_layers


@dataclass(frozen=True, eq=False)
class NetworkComparison:
    """Energy of a network before and after.

    Parameters
    ----------
    result : EnergyResult
        Totals, and settings of the simulation.
    layers : dict of str to EnergyComparison
        Every simulated layer, by its name in the original.
    notes : tuple of str
        Remarks for the reader.
    """

    result: EnergyResult
    layers: dict[str, EnergyComparison] = field(repr=False)
    notes: tuple[str, ...]


def compare_energy(
    network: Network,
    array: Accelerator,
    schedule: LayerOrders | None,
    drop_in: Network | None,
    *,
    samples: Samples | None,
    inputs: str | Path | None,
    cells: str | Path | CellLibrary,
    options: EnergyOptions,
    progress: Progress | None = None,
) -> NetworkComparison:
    """Simulate every variant of a network.

    Parameters
    ----------
    network : Network
        The original.
    array : Accelerator
        The machine.
    schedule : mapping of str to tuple of Segment, or None
        Scheduled orders.
    drop_in : Network or None
        The rewritten network; it streams in natural order.
    samples : Samples or None
        Sample inputs; by default one random input.
    inputs : str or Path, optional
        Where the samples come from, for the report.
    cells : str, Path or CellLibrary
        Cell library.
    options : EnergyOptions
        Clock, time limit for each of the two networks, sampling.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    NetworkComparison
        Energies of every variant.
    """
    layers, notes = simulated_layers(network)
    feeds, sample_notes = (samples, ()) if samples is not None else random_sample(network, options.seed)
    unit = network_unit(layers, array, load_cells(cells), options, progress=progress)
    variants = [natural_orders(network, array), *([schedule] if schedule else [])]
    run = simulate_network(NetworkRun(network, array, layers, feeds), unit, variants, options, progress)
    dropped: tuple[LayerEnergy, ...] | None = None
    if drop_in is not None:
        rewritten = NetworkRun(drop_in, array, measurable_layers(drop_in), feeds)
        natural = [natural_orders(drop_in, array)]
        dropped = simulate_network(rewritten, unit, natural, options, progress, run.shares).layers[0]
    baseline, scheduled = run.layers[0], run.layers[1] if schedule else None
    comparisons = {
        layer.name: EnergyComparison(
            baseline=baseline[index],
            schedule=scheduled[index] if scheduled else None,
            drop_in=dropped[index] if dropped else None,
        )
        for index, layer in enumerate(layers)
    }
    result = EnergyResult(
        settings=energy_settings(options, feeds, inputs, None, run),
        total=EnergyComparison(
            baseline=total_energy(baseline),
            schedule=total_energy(scheduled) if scheduled else None,
            drop_in=total_energy(dropped) if dropped else None,
        ),
        datapath=datapath_record(unit, array),
        cells=cells_record(unit.library),
    )
    return NetworkComparison(result, comparisons, (*notes, *sample_notes))
