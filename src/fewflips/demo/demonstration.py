"""The whole effect on a pair of networks: training for few flips and ordering, in flips, joules and accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Never

from fewflips.api.optimize import optimize
from fewflips.api.optimized import Optimization, check_writable
from fewflips.bundled import ACCELERATOR, BundledPair, stated_accuracy_percent
from fewflips.coding.notes import coding_notes
from fewflips.dataflows.orders import LayerOrders, natural_orders
from fewflips.dataflows.unit_datapath import bus_invert_ports, network_datapath
from fewflips.errors import AcceleratorError, ToolError
from fewflips.estimation.estimate import NetworkEstimate, estimate_energy, missing_note
from fewflips.execution.activations import read_samples
from fewflips.execution.samples import Samples
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator, load_accelerator
from fewflips.measurement.counting import count_network
from fewflips.network import Network, load
from fewflips.parallel.background import in_background
from fewflips.progress import Progress
from fewflips.records.demo import DemoReport, DemoSimulation, DemoVariant, NetworkName, OrderName
from fewflips.records.energy import LayerEnergy
from fewflips.records.model_file import model_file
from fewflips.schedule.file import schedule_orders
from fewflips.simulation.records import cells_record, datapath_record, total_energy
from fewflips.simulation.run import EnergyOptions, NetworkRun, simulate_network
from fewflips.simulation.setup import simulated_layers
from fewflips.simulation.unit import ArithmeticUnit, compiled_unit
from fewflips.version import __version__

BASELINE_FOLDER = "baseline"
"""Subfolder for the baseline's files within the HD-trained network's folder."""

CELLS = "nangate45"
SIMULATED_INPUTS = 1
"""Number of sample inputs simulated at gate level, so that it takes less than a minute on two processors."""
SIMULATED_SHARE = 1 / 32
"""Share of the cycles of long layers that is simulated with delays; short layers are simulated completely."""

_ORDERS: tuple[OrderName, OrderName] = ("natural", "scheduled")


@dataclass(frozen=True, eq=False)
class Demonstration:
    """Two networks, optimized and compared.

    Parameters
    ----------
    baseline, hd_trained : Optimization
        The result for each network.
    report : DemoReport
        Every network in every order.
    """

    baseline: Optimization = field(repr=False)
    hd_trained: Optimization = field(repr=False)
    report: DemoReport

    def save(self, folder: str | Path) -> tuple[Path, ...]:
        """Write model, schedule and reports of the HD-trained network to a folder, of the baseline to one inside.

        Parameters
        ----------
        folder : str or Path
            Created if it does not exist. Files of the same names are replaced.

        Returns
        -------
        tuple of Path
            The files.

        Raises
        ------
        OutputError
            If they cannot be written; nothing is left half-written.
        """
        target = Path(folder)
        return (*self.baseline.save(target / BASELINE_FOLDER), *self.hd_trained.save(target))


@dataclass(frozen=True, eq=False)
class _Study:
    """One network of the pair: its orders, and the results without gates."""

    name: NetworkName
    accuracy_percent: float | None
    result: Optimization
    samples: Samples
    orders: tuple[LayerOrders, LayerOrders]
    estimates: tuple[NetworkEstimate | None, ...]
    notes: tuple[str, ...]

    @property
    def network(self) -> Network:
        """The network as read."""
        return self.result.network


def demonstrate(
    pair: BundledPair,
    accelerator: str | Path | Accelerator = ACCELERATOR,
    *,
    seed: int = 0,
    jobs: int = -1,
    progress: Progress | None = None,
) -> Demonstration:
    """Optimize both networks of a pair, and compare them in natural and in scheduled order.

    Energy is estimated from flips if a calibration ships with the package, and simulated at gate level, on a sample of
    the cycles, if a netlist of the unit ships with the package or Yosys is available to make one.

    Parameters
    ----------
    pair : BundledPair
        Networks and sample inputs.
    accelerator : str, Path or Accelerator
        A built-in machine's name, a YAML file, or an accelerator.
    seed : int
        Seed of every random choice.
    jobs : int
        Processors to use; -1 for all.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    Demonstration
        Call its :meth:`~Demonstration.save`.

    Raises
    ------
    FewflipsError
        If a model, the accelerator or the inputs cannot be used, or a check fails.
    """
    array = load_accelerator(accelerator)
    files: tuple[tuple[NetworkName, Path], ...] = (("baseline", pair.baseline), ("HD-trained", pair.hd_trained))
    accuracies = [stated_accuracy_percent(model) for _, model in files]
    networks = [load(model) for _, model in files]
    studies = []
    with _unit_in_background(networks, array, jobs) as unit:
        for (name, _), network, accuracy in zip(files, networks, accuracies, strict=True):
            own = _named(progress, name)
            result = optimize(network, accelerator, inputs=pair.samples, seed=seed, jobs=jobs, progress=own)
            studies.append(_study(name, accuracy, result, pair.samples, own))
        energies, simulation, gate_notes = _simulated(studies, array, unit, seed, jobs, progress)
    known = next((estimate for study in studies for estimate in study.estimates if estimate), None)
    variants = [
        _variant(study, index, energies[number][index] if energies else None)
        for number, study in enumerate(studies)
        for index in range(len(_ORDERS))
    ]
    notes = [note for study in studies for note in study.notes]
    report = DemoReport(
        fewflips=__version__,
        accelerator=array,
        variants=tuple(variants),
        calibration=known.calibration if known else None,
        simulation=simulation,
        notes=tuple(
            dict.fromkeys(
                filter(
                    None, [*notes, *gate_notes, *coding_notes(array, simulated=bus_invert_ports(array)), pair.remark]
                )
            )
        ),
    )
    return Demonstration(studies[0].result, studies[1].result, report)


def check_demo_writable(folder: Path, pair: BundledPair) -> None:
    """Check before the long work whether a demonstration can be saved.

    Parameters
    ----------
    folder : Path
        May be missing; it is not created.
    pair : BundledPair
        Networks, which must not be among the files that would be replaced.

    Raises
    ------
    OutputError
        If it cannot.
    """
    for target in (folder, folder / BASELINE_FOLDER):
        for model in (pair.baseline, pair.hd_trained):
            check_writable(target, model)


def _named(progress: Progress | None, name: str) -> Progress | None:
    """Progress with a network's name before each phase: both networks go through the same phases."""
    if progress is None:
        return None
    return lambda phase, done, total: progress(f"{name}: {phase}", done, total)


def _study(
    name: NetworkName, accuracy: float | None, result: Optimization, inputs: Path, progress: Progress | None
) -> _Study:
    network, array = result.network, result.accelerator
    samples, _ = read_samples(network, inputs)
    assert samples is not None
    assert result.schedule is not None  # the default mode makes one
    orders = (natural_orders(network, array), schedule_orders(result.schedule, network))
    counts = count_network(network, array, orders, samples, progress)
    estimates: list[NetworkEstimate | None] = []
    notes: tuple[str, ...] = ()
    try:
        for order, counted in zip(orders, counts, strict=True):
            observed = {layer: count.observed for layer, count in counted.items() if count.observed is not None}
            estimates.append(estimate_energy(network, array, order, counted, observed or None))
        notes = () if all(estimates) else (missing_note(network, array),)
    except AcceleratorError as error:  # no such unit can be built, but flips can still be counted
        estimates, notes = [None, None], (f"Energy was not estimated: {error}.",)
    return _Study(name, accuracy, result, samples, orders, tuple(estimates), notes)


def _variant(study: _Study, index: int, energy: LayerEnergy | None) -> DemoVariant:
    weights, estimate = study.result.report.totals.weights, study.estimates[index]
    order = _ORDERS[index]
    return DemoVariant(
        network=study.name,
        order=order,
        model=model_file(study.network),
        accuracy_percent=study.accuracy_percent,
        weight_flips=weights.baseline_flips if order == "natural" else weights.optimized_flips,
        estimated_energy=estimate.total if estimate else None,
        simulated_energy=energy,
    )


@contextmanager
def _unit_in_background(
    networks: Sequence[Network], array: Accelerator, jobs: int
) -> Iterator[Callable[[], ArithmeticUnit]]:
    """The machine's arithmetic unit, as wide as any of the networks needs, built while orders are found.

    The first time, most of the work is compiling kernels.
    """
    layers = [layer for network in networks for layer in simulated_layers(network)[0]]
    try:
        datapath = network_datapath(layers, array)
    except AcceleratorError as error:
        yield partial(_raise, error)
        return
    with in_background(jobs, compiled_unit, datapath, load_cells(CELLS)) as unit:
        yield unit


def _raise(error: Exception) -> Never:
    raise error


def _simulated(
    studies: Sequence[_Study],
    array: Accelerator,
    unit: Callable[[], ArithmeticUnit],
    seed: int,
    jobs: int,
    progress: Progress | None,
) -> tuple[list[tuple[LayerEnergy, ...]], DemoSimulation | None, list[str]]:
    """For each network, the energy in each order, how it was simulated, and notes: on memories, or why it was not."""
    try:
        if progress:
            progress("building the arithmetic unit", 0, 1)
        built = unit()
    except (AcceleratorError, ToolError) as error:  # no such unit can be built; no Yosys to build it with
        return [], None, [f"Energy was not simulated at gate level: {error}."]
    finally:
        if progress:
            progress("building the arithmetic unit", 1, 1)
    return _simulate(studies, array, built, seed, jobs, progress)


def _simulate(
    studies: Sequence[_Study],
    array: Accelerator,
    unit: ArithmeticUnit,
    seed: int,
    jobs: int,
    progress: Progress | None,
) -> tuple[list[tuple[LayerEnergy, ...]], DemoSimulation, list[str]]:
    options = EnergyOptions(share=SIMULATED_SHARE, seed=seed, jobs=jobs)
    energies, shares = [], []
    notes: list[str] = []
    for study in studies:
        feeds = replace(study.samples, feeds=study.samples.feeds[:SIMULATED_INPUTS])
        run = NetworkRun(study.network, array, simulated_layers(study.network)[0], feeds)
        found = simulate_network(run, unit, study.orders, options, _named(progress, study.name))
        energies.append(tuple(total_energy(variant) for variant in found.layers))
        shares.append(found.simulated.inertial)
        notes.extend(found.notes)
    given = len(studies[0].samples.feeds)
    simulation = DemoSimulation(
        clock_mhz=options.clock_mhz,
        inputs=min(SIMULATED_INPUTS, given),
        inputs_given=given,
        share=SIMULATED_SHARE,
        sampled_share=min(shares),
        seed=seed,
        datapath=datapath_record(unit, array),
        cells=cells_record(unit.library),
    )
    return energies, simulation, notes
