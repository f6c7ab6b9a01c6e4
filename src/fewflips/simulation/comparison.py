"""Energy before and after optimization: the stages of a network through the same gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fewflips.dataflows.orders import LayerOrders
from fewflips.execution.activations import measurable_layers
from fewflips.execution.samples import Samples
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.progress import Progress
from fewflips.records.energy import CellsRecord, DatapathRecord, EnergySettings, LayerEnergy
from fewflips.simulation.records import cells_record, datapath_record, total_energy
from fewflips.simulation.run import EnergyOptions, NetworkEnergies, NetworkRun, simulate_network
from fewflips.simulation.setup import energy_settings, network_unit, random_sample, simulated_layers


@dataclass(frozen=True, eq=False)
class Variants:
    """One network and the orders in which it is to be simulated.

    Parameters
    ----------
    network : Network
        The network.
    orders : dict of str to mapping of str to tuple of Segment
        Sets of orders, by the name of the variant.
    """

    network: Network
    orders: dict[str, LayerOrders] = field(repr=False)


@dataclass(frozen=True, eq=False)
class VariantEnergies:
    """Energy of several variants of a network.

    Parameters
    ----------
    settings : EnergySettings
        How they were simulated.
    datapath : DatapathRecord
        The arithmetic unit.
    cells : CellsRecord
        Its cells.
    layers : tuple of str
        Names of the simulated layers, as in the first network.
    variants : dict of str to tuple of LayerEnergy
        Energy of each of these layers, by the name of the variant.
    totals : dict of str to LayerEnergy
        Their sums, by the name of the variant.
    notes : tuple of str
        Remarks for the reader.
    """

    settings: EnergySettings
    datapath: DatapathRecord
    cells: CellsRecord
    layers: tuple[str, ...]
    variants: dict[str, tuple[LayerEnergy, ...]] = field(repr=False)
    totals: dict[str, LayerEnergy]
    notes: tuple[str, ...] = ()


def simulate_variants(
    networks: Sequence[Variants],
    array: Accelerator,
    *,
    samples: Samples | None,
    inputs: str | Path | None,
    cells: str | Path | CellLibrary,
    options: EnergyOptions,
    progress: Progress | None = None,
) -> VariantEnergies:
    """Simulate a network and what was made of it.

    Parameters
    ----------
    networks : sequence of Variants
        The original first; layers of the others have the same shapes.
    array : Accelerator
        The machine.
    samples : Samples or None
        Sample inputs; by default one random input.
    inputs : str or Path, optional
        Where the samples come from, for the report.
    cells : str, Path or CellLibrary
        Cell library.
    options : EnergyOptions
        Clock, time limit for each network, sampling.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    VariantEnergies
        Energy of every variant.
    """
    original = networks[0].network
    layers, notes = simulated_layers(original)
    feeds, sample_notes = (samples, ()) if samples is not None else random_sample(original, options.seed)
    simulated = [layer for one in networks for layer in measurable_layers(one.network)]
    unit = network_unit(simulated, array, load_cells(cells), options, progress=progress)
    runs: list[NetworkEnergies] = []
    energies: dict[str, tuple[LayerEnergy, ...]] = {}
    for one in networks:
        run = NetworkRun(one.network, array, measurable_layers(one.network), feeds)
        shares = runs[0].shares if runs else None
        runs.append(simulate_network(run, unit, list(one.orders.values()), options, progress, shares))
        energies.update(zip(one.orders, runs[-1].layers, strict=True))
    return VariantEnergies(
        settings=energy_settings(options, feeds, inputs, None, runs[0]),
        datapath=datapath_record(unit, array),
        cells=cells_record(unit.library),
        layers=tuple(layer.name for layer in layers),
        variants=energies,
        totals={name: total_energy(layers_of) for name, layers_of in energies.items()},
        notes=(*notes, *sample_notes, *unit.notes, *runs[0].notes),
    )
