"""Optimize a network: an order for every segment, and a rewritten model, both checked before they are given out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fewflips.accelerator import Accelerator, load_accelerator
from fewflips.dropin import ChannelPlan, drop_in_certificates, plan_channels
from fewflips.errors import InputError, ModelError, RuntimeFailure, VerificationError
from fewflips.leftovers import temporary_folder
from fewflips.measurement import (
    LayerCount,
    count_network,
    lowered_rows,
    natural_orders,
    printable_name,
    read_samples,
    run_samples,
)
from fewflips.network import Network, load, rewrite
from fewflips.network.comparison import compare_outputs
from fewflips.network.equivalence import Comparison, check_drop_in
from fewflips.network.layer import Layer
from fewflips.network.runtimes import Runtime
from fewflips.network.samples import Samples, random_feeds
from fewflips.network.structure import StructureComparison, check_structure, compare_structure
from fewflips.ordering import Effort
from fewflips.progress import Progress
from fewflips.report.model import Check, OptimizeReport
from fewflips.result_folder import digests
from fewflips.schedule import Axes, LayerOrders, Schedule, build_schedule, check_segments
from fewflips.scheduling import Certificate, SchedulePlan, plan_schedule

if TYPE_CHECKING:
    from fewflips.gates.cells import CellLibrary
    from fewflips.network_energy.comparison import NetworkComparison
    from fewflips.network_energy.run import EnergyOptions

Mode = Literal["schedule", "drop-in", "both"]
RANDOM_ROWS = 64
"""Rows of random activations on which every layer's schedule is executed."""

LONGEST_RUN_S = 600.0
"""How long the original may take to open, and for one inference, in seconds."""


@dataclass(frozen=True, eq=False)
class DropIn:
    """A rewritten model, checked.

    Parameters
    ----------
    network : Network
        Read back from the new file.
    plan : ChannelPlan
        Orders of the channel groups.
    structure : StructureComparison
        Constants and everything else of the original and the new file.
    comparison : Comparison
        Outputs of the original and the new model.
    certificates : dict of str to Certificate
        Lower bounds of each layer under one order for all its segments.
    counts : dict of str to LayerCount
        Flips of the new model in natural order.
    folder : TemporaryDirectory
        Where the new file lies, with those that belong to it.
    digests : dict of str to str
        SHA-256 of each file as it was checked.
    """

    network: Network
    plan: ChannelPlan = field(repr=False)
    structure: StructureComparison
    comparison: Comparison
    certificates: dict[str, Certificate] = field(repr=False)
    counts: dict[str, LayerCount] = field(repr=False)
    folder: tempfile.TemporaryDirectory[str] = field(repr=False)
    digests: dict[str, str] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Optimization:
    """Everything that :func:`optimize` found.

    Parameters
    ----------
    network : Network
        The original.
    accelerator : Accelerator
        The machine.
    schedule : Schedule or None
        Orders for a compiler.
    drop_in : DropIn or None
        The rewritten model.
    report : OptimizeReport
        Figures of every layer.
    checked_orders : dict of str to tuple of Segment
        Orders of the schedule as they were executed; empty without one.
    """

    network: Network
    accelerator: Accelerator
    schedule: Schedule | None = field(repr=False)
    drop_in: DropIn | None = field(repr=False)
    report: OptimizeReport = field(repr=False)
    checked_orders: LayerOrders = field(repr=False)

    @property
    def reduction(self) -> float:
        """Weight flips of one inference, baseline / optimized; infinite where none are left."""
        reduction = self.report.totals.weights.reduction
        return inf if reduction is None else reduction

    def save(self, folder: str | Path) -> tuple[Path, ...]:
        """Write ``model.*``, ``schedule.json``, ``report.json`` and ``report.html``.

        Parameters
        ----------
        folder : str or Path
            Created where it does not exist. Files of the same names are replaced, all at the end.

        Returns
        -------
        tuple of Path
            The files.

        Raises
        ------
        OutputError
            If they cannot be written; then nothing is left half-written.
        """
        from fewflips.report.files import save_optimization

        return save_optimization(self, Path(folder))


@dataclass(frozen=True)
class Request:
    """What the user asked for, as it goes into the report."""

    model: str
    accelerator: str
    mode: Mode
    inputs: str | None
    prove: bool
    seed: int
    extra: tuple[str, ...] = ()


@dataclass(frozen=True)
class EnergyRequest:
    """That energy is to be simulated, and how.

    Parameters
    ----------
    cells : str, Path or CellLibrary
        A built-in table's name, a cell table, or a Liberty file.
    options : EnergyOptions or None
        Clock, time limit, sampling; defaults without it.
    """

    cells: str | Path | CellLibrary = "nangate45"
    options: EnergyOptions | None = None


def optimize(
    model: str | Path | Network,
    accelerator: str | Path | Accelerator = "edge16",
    *,
    mode: Mode = "both",
    inputs: str | Path | None = None,
    prove: bool = False,
    energy: EnergyRequest | None = None,
    seed: int = 0,
    jobs: int = -1,
    progress: Progress | None = None,
) -> Optimization:
    """Find orders with fewer flips, and check that they compute the same.

    Parameters
    ----------
    model : str, Path or Network
        A TFLite or ONNX file, or what :func:`fewflips.load` read from one.
    accelerator : str, Path or Accelerator
        A built-in machine's name, a YAML file, or an accelerator.
    mode : {"schedule", "drop-in", "both"}
        An order for every segment, one permutation for every group of tied channels, or both.
    inputs : str or Path, optional
        Sample inputs: a folder of images or an ``.npz`` file. Without them activations are not measured, and
        the checks use random inputs alone.
    prove : bool
        Work on until as many orders as possible are proven optimal.
    energy : EnergyRequest, optional
        Simulate energy before and after at gate level too.
    seed : int
        Of every random choice.
    jobs : int
        Processors to use; -1 for all.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    Optimization
        Schedule, rewritten model and report; call its :meth:`~Optimization.save`.

    Raises
    ------
    FewflipsError
        If the model, the accelerator or the inputs cannot be used, or a check fails.
    """
    if mode not in get_args(Mode):
        raise InputError(f"mode: expected one of {', '.join(get_args(Mode))}, got {mode!r}")
    from fewflips.report.build import optimize_report

    network = model if isinstance(model, Network) else load(model)
    array = load_accelerator(accelerator)
    request = _request(network, accelerator, mode, inputs, prove, seed, energy)
    effort = Effort.prove() if prove else Effort.default()
    natural = natural_orders(network, array)

    refusal = None if mode == "schedule" and inputs is None and energy is None else _refusal(network, seed)
    if refusal is not None and mode == "drop-in":
        raise refusal
    samples, notes = read_samples(network, None if refusal else inputs)
    plan = None
    if mode != "drop-in":
        plan = plan_schedule(network, array, effort=effort, seed=seed, jobs=jobs, progress=progress)
    drop_in = None
    if mode != "schedule" and refusal is None:
        drop_in, refusal = _drop_in_or_refusal(network, array, request, samples, effort, jobs, progress)
    if refusal is not None:
        notes = _notes_on_refusal(refusal, request, energy)
        samples = energy = None

    variants = [natural, *([plan.orders] if plan else [])]
    counts = count_network(network, array, variants, samples, progress)
    schedule, check = None, None
    if plan:
        check = check_schedule(network, array, plan.orders, samples, seed, progress)
        schedule = build_schedule(network, array, plan.orders)
    energies = _energies(network, array, plan, drop_in, samples, inputs, energy, progress)
    report = optimize_report(
        network, array, request, counts, plan, schedule, check, drop_in, (*network.notes, *notes), energies
    )
    return Optimization(network, array, schedule, drop_in, report, plan.orders if plan else {})


def check_schedule(
    network: Network,
    array: Accelerator,
    orders: LayerOrders,
    samples: Samples | None,
    seed: int,
    progress: Progress | None = None,
) -> Check:
    """Execute every layer in scheduled order and compare it with the plain product.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        Its dataflow says what the segments index.
    orders : mapping of str to tuple of Segment
        The schedule.
    samples : Samples or None
        The first sample's real activations are used, beside random ones.
    seed : int
        Of the random activations.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    Check
        What was compared.

    Raises
    ------
    VerificationError
        If any sum differs.
    """
    axes = Axes(lanes=array.flow.lanes_axis, order=array.flow.order_axis)
    tensors: Mapping[str, NDArray[Any]] = {}
    if samples is not None:
        tensors = next(run_samples(network, replace(samples, feeds=samples.feeds[:1])))
    generator = np.random.default_rng(seed)
    values = 0
    for done, layer in enumerate(network.layers):
        segments = orders[layer.name]
        values += check_segments(layer, _random_rows(layer, generator), segments, axes)
        if layer.input_tensor in tensors:
            values += check_segments(layer, lowered_rows(layer, tensors), segments, axes)
        if progress:
            progress("executing the schedule", done + 1, len(network.layers))
    real = " and on the first sample's activations" if samples else ""
    return Check(
        passed=True,
        method=(
            "every layer was executed in integers, adding partial sums in scheduled order, on "
            f"{RANDOM_ROWS} rows of random activations{real}, and compared with the plain matrix product: all "
            f"{values} sums are equal"
        ),
        sample_inputs=1 if samples else 0,
        random_inputs=RANDOM_ROWS,
        values=values,
        equal_share=1.0,
        largest_difference=0.0,
        bit_exact=True,
    )


def _request(
    network: Network,
    accelerator: str | Path | Accelerator,
    mode: Mode,
    inputs: str | Path | None,
    prove: bool,
    seed: int,
    energy: EnergyRequest | None,
) -> Request:
    machine = accelerator.name if isinstance(accelerator, Accelerator) else str(accelerator)
    return Request(
        model=printable_name(str(network.path)),
        accelerator=printable_name(machine),
        mode=mode,
        inputs=None if inputs is None else printable_name(str(inputs)),
        prove=prove,
        seed=seed,
        extra=() if energy is None else _energy_words(energy),
    )


def _energy_words(energy: EnergyRequest) -> tuple[str, ...]:
    """What of an energy request goes onto the command line that makes the report again."""
    source = energy.cells if isinstance(energy.cells, str | Path) else energy.cells.source
    words = ["--energy", "--cells", printable_name(str(source))]
    if energy.options is not None:
        words += ["--clock-mhz", f"{energy.options.clock_mhz:g}", "--time-limit", f"{energy.options.time_limit_s:g}"]
        words += ["--share", f"{energy.options.share:g}"] if energy.options.share is not None else []
    return tuple(words)


def _energies(
    network: Network,
    array: Accelerator,
    plan: SchedulePlan | None,
    drop_in: DropIn | None,
    samples: Samples | None,
    inputs: str | Path | None,
    request: EnergyRequest | None,
    progress: Progress | None,
) -> NetworkComparison | None:
    if request is None:
        return None
    from fewflips.network_energy.comparison import compare_energy
    from fewflips.network_energy.run import EnergyOptions

    return compare_energy(
        network,
        array,
        plan.orders if plan else None,
        drop_in.network if drop_in else None,
        samples=samples,
        inputs=inputs,
        cells=request.cells,
        options=request.options or EnergyOptions(),
        progress=progress,
    )


def _drop_in_or_refusal(
    network: Network,
    array: Accelerator,
    request: Request,
    samples: Samples | None,
    effort: Effort,
    jobs: int,
    progress: Progress | None,
) -> tuple[DropIn | None, RuntimeFailure | None]:
    """A checked drop-in file; or why the original, which ran once, cannot be run to compare its outputs."""
    try:
        return _make_drop_in(network, array, samples, effort, request.seed, jobs, progress), None
    except RuntimeFailure as failure:
        if failure.model != network.path:
            raise VerificationError(f"{failure}; it runs {network.path}, so the copy was not written") from failure
        if request.mode == "drop-in":
            raise
        return None, failure


def _notes_on_refusal(refusal: RuntimeFailure, request: Request, energy: EnergyRequest | None) -> tuple[str, ...]:
    """What the report lacks where the runtime does not run the original, and why."""
    missing = []
    if request.mode != "schedule":
        missing.append("no drop-in file, since the original cannot be run to compare its outputs")
    if request.inputs is not None:
        missing.append("activations were not measured, since the original cannot be run on the sample inputs")
    if energy is not None:
        missing.append("energy was not simulated, since the original cannot be run for its activations")
    unasked = () if request.inputs is not None else ("Activations were not measured: no sample inputs were given.",)
    return (*unasked, *(f"{sentence}: {refusal}" for sentence in missing))


def _make_drop_in(
    network: Network,
    array: Accelerator,
    samples: Samples | None,
    effort: Effort,
    seed: int,
    jobs: int,
    progress: Progress | None,
) -> DropIn:
    plan = plan_channels(network, array, effort=effort, seed=seed, jobs=jobs, progress=progress)
    folder = temporary_folder("fewflips-model-")
    path = Path(folder.name) / f"model.{network.file_format}"
    rewrite(network, plan.groups.permutations(plan.orders), path)
    checked = digests({file.name: file.read_bytes() for file in path.parent.iterdir()})
    rewritten = _read_back(path)
    structure = compare_structure(network, rewritten, plan.orders)
    check_structure(network, path, structure)
    comparison = compare_outputs(network, rewritten, structure, samples, seed=seed, progress=progress)
    check_drop_in(network, path, comparison)
    counts = count_network(rewritten, array, [natural_orders(rewritten, array)], samples, progress)[0]
    flips = {layer.name: count.weights.within for layer, count in zip(network.layers, counts.values(), strict=True)}
    bound_effort = effort if effort == Effort.prove() else Effort.quick()
    certificates = drop_in_certificates(
        network, array, flips, effort=bound_effort, seed=seed, jobs=jobs, progress=progress
    )
    return DropIn(rewritten, plan, structure, comparison, certificates, counts, folder, checked)


def _read_back(path: Path) -> Network:
    try:
        return load(path)
    except ModelError as error:
        raise VerificationError(f"{path.name} cannot be read back: {error}; it was not written") from error


def _refusal(network: Network, seed: int) -> RuntimeFailure | None:
    """Run the original in a process of its own: why it cannot be run; None where it can."""
    try:
        with Runtime(network, time_limit_s=LONGEST_RUN_S) as runtime:
            (feeds,) = random_feeds(runtime.inputs, 1, seed)
            runtime.run(feeds, runtime.outputs)
    except RuntimeFailure as failure:
        return failure
    return None


def _random_rows(layer: Layer, generator: np.random.Generator) -> NDArray[np.integer]:
    storage = layer.activation_type
    low, high = (storage.low, storage.high) if storage else (-128, 127)
    return generator.integers(low, high + 1, size=(layer.groups, RANDOM_ROWS, layer.k), dtype=np.int32)
