"""Calibrate: sweep an arithmetic unit, fit its curves, and compare them with a real network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewflips.coding.notes import coding_notes
from fewflips.dataflows import dataflow_of
from fewflips.dataflows.orders import LayerOrders, natural_orders
from fewflips.dataflows.phases import HeldOperand
from fewflips.estimation.calibration.bench import Bench
from fewflips.estimation.calibration.compare import OrderedLayers, compare_network
from fewflips.estimation.calibration.sweeps import Sweep
from fewflips.estimation.calibration.synthetic import ZERO_SHARE, synthetic_activations
from fewflips.estimation.network_operands import NetworkOperands, network_operands
from fewflips.estimation.word_pool import WordPool
from fewflips.execution.samples import Samples
from fewflips.formats.number_formats import INT8
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator, load_accelerator
from fewflips.network import Network, load
from fewflips.network.layer import Layer
from fewflips.network.lowering import MatrixProduct
from fewflips.optimization.segment_orders import plan_schedule
from fewflips.ordering import Effort
from fewflips.progress import Progress, counter
from fewflips.records.calibration import Calibration, CalibrationSettings, MeanStatistics
from fewflips.simulation.records import cells_record, datapath_record
from fewflips.simulation.run import EnergyOptions, NetworkRun
from fewflips.simulation.setup import network_unit, samples_or_random, simulated_layers
from fewflips.simulation.unit import ArithmeticUnit
from fewflips.version import __version__
from fewflips.visible import printable_name

SAMPLES = 2
"""Default number of sample inputs; each further one changes little, and takes as long again."""
_LARGEST_REDUCTION = 1280
"""Reduction length of the layer used if no network is given: that of MobileNetV2's last layer."""


@dataclass(frozen=True)
class CalibrationRequest:
    """The user's request.

    Parameters
    ----------
    inputs : str, Path or None
        Sample inputs; None for a random one.
    cells : str, Path or CellLibrary
        A built-in table's name, a cell table, or a Liberty file.
    samples : int
        Number of sample inputs to use.
    options : EnergyOptions
        Time limit of the network's simulation, seed, processors.
    command : str
        A command that reproduces the calibration.
    """

    inputs: str | Path | None = None
    cells: str | Path | CellLibrary = "nangate45"
    samples: int = SAMPLES
    options: EnergyOptions = field(default_factory=EnergyOptions)
    command: str = "fewflips calibrate"


def calibrate(
    model: str | Path | Network | None = None,
    accelerator: str | Path | Accelerator = "edge16",
    request: CalibrationRequest | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Energy against flips for the arithmetic unit of an accelerator.

    Parameters
    ----------
    model : str, Path or Network, optional
        A TFLite or ONNX file, whose operands are used for the sweeps and the comparison. By default operands are
        synthetic, and the unit has 8-bit two's complement words if the accelerator takes words as stored.
    accelerator : str, Path or Accelerator
        A built-in machine's name, a YAML file, or an accelerator.
    request : CalibrationRequest, optional
        Inputs, cells, time limit, seed.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    Calibration
        Curves, and how well they predict the network.

    Raises
    ------
    FewflipsError
        If the model, the accelerator, the inputs or the cells cannot be used.

    Examples
    --------
    >>> machine = fewflips.load_accelerator("edge4").model_copy(update={"lanes": 1, "columns": 1})
    >>> calibration = fewflips.calibrate(accelerator=machine)
    >>> calibration.accelerator.lanes, calibration.network is None
    (1, True)
    """
    request = request or CalibrationRequest()
    units_alone = {"buffers": None}
    array, library = load_accelerator(accelerator).model_copy(update=units_alone), load_cells(request.cells)
    if model is None:
        unit = network_unit([_any_layer()], array.uncoded, library, request.options, progress=progress)
        return _without_network(unit, array, request, progress)
    network = model if isinstance(model, Network) else load(model)
    layers, notes = simulated_layers(network)
    samples, sample_notes = samples_or_random(network, request.inputs, request.options.seed)
    samples = Samples(samples.feeds[: request.samples], samples.source, samples.note)
    unit = network_unit(layers, array.uncoded, library, request.options, progress=progress)
    run = NetworkRun(network, array, layers, samples)
    orders = [natural_orders(network, array), _scheduled(network, array, request, progress)]
    operands = network_operands(network, array, layers, samples, unit.datapath, orders, request.options.seed, progress)
    means = _means(operands, layers, dataflow_of(array).held_operand, f"{network.path.name}, natural order")
    notes = (*network.notes, *sample_notes, *notes, *coding_notes(array))
    swept = _sweep(unit, array, operands.weights, operands.activations, means, request, notes, progress)
    variants = [
        OrderedLayers("natural", orders[0], operands.statistics[0]),
        OrderedLayers("scheduled", orders[1], operands.statistics[1]),
    ]
    inputs = None if request.inputs is None else printable_name(str(request.inputs))
    comparison = compare_network(run, unit, swept, variants, request.options, inputs, progress)
    return swept.model_copy(update={"network": comparison})


def _scheduled(
    network: Network, array: Accelerator, request: CalibrationRequest, progress: Progress | None
) -> LayerOrders:
    options = request.options
    plan = plan_schedule(network, array, effort=Effort.quick(), seed=options.seed, jobs=options.jobs, progress=progress)
    return plan.orders


def _without_network(
    unit: ArithmeticUnit, array: Accelerator, request: CalibrationRequest, progress: Progress | None
) -> Calibration:
    generator = np.random.default_rng([request.options.seed, 3])
    weights = WordPool(_uniform_words(unit.datapath.weights.bits, generator), unit.datapath.weights.bits)
    activations = synthetic_activations(unit.datapath.activations, generator)
    held = weights if dataflow_of(array).held_operand == "weights" else activations
    means = MeanStatistics(
        source=f"synthetic activations: {ZERO_SHARE:.0%} zeros, the rest half-normal",
        dense_rates=tuple(activations.bit_rates.tolist()),
        depthwise_rates=tuple(activations.bit_rates.tolist()),
        held_ones=tuple(held.ones_shares.tolist()),
    )
    note = "No model was given: operands are synthetic, and nothing was compared."
    return _sweep(unit, array, weights, activations, means, request, (note, *coding_notes(array)), progress)


def _sweep(
    unit: ArithmeticUnit,
    array: Accelerator,
    weights: WordPool,
    activations: WordPool,
    means: MeanStatistics,
    request: CalibrationRequest,
    notes: tuple[str, ...],
    progress: Progress | None,
) -> Calibration:
    held = dataflow_of(array).held_operand
    options = request.options
    bench = Bench(unit, weights, activations, held, seed=options.seed, jobs=options.threads)
    sweep = Sweep(bench)
    bench.on_point = counter(progress, "sweeping operands", sweep.points)
    curves = sweep.curves()
    return Calibration(
        fewflips=__version__,
        accelerator=array,
        datapath=datapath_record(unit, array),
        cells=cells_record(unit.library),
        settings=CalibrationSettings(
            command=request.command,
            seed=options.seed,
            step_ps=options.step_ps,
            time_limit_s=options.time_limit_s,
            cycles=bench.cycles,
        ),
        held_operand=held,
        zero_delay=curves["zero-delay"],
        inertial=curves["inertial"],
        registers=bench.registers(),
        means=means,
        notes=notes,
    )


def _means(operands: NetworkOperands, layers: Sequence[Layer], held: HeldOperand, source: str) -> MeanStatistics:
    """Mean activations of all layers, weighted by multiplications."""
    statistics = operands.statistics[0]

    def mean(chosen: list[Layer]) -> tuple[float, ...]:
        if not chosen:
            return tuple(operands.activations.bit_rates.tolist())
        work = np.array([layer.macs for layer in chosen], dtype=np.float64)
        rates = np.stack([statistics[layer.name].rates for layer in chosen])
        return tuple((work @ rates / work.sum()).tolist())

    pool = operands.weights if held == "weights" else operands.activations
    return MeanStatistics(
        source=source,
        dense_rates=mean([layer for layer in layers if not layer.is_depthwise]),
        depthwise_rates=mean([layer for layer in layers if layer.is_depthwise]),
        held_ones=tuple(pool.ones_shares.tolist()),
    )


def _uniform_words(bits: int, generator: np.random.Generator) -> NDArray[np.unsignedinteger]:
    return generator.integers(0, 1 << bits, 1 << 14).astype(np.uint8 if bits <= 8 else np.uint16)


def _any_layer() -> Layer:
    """A layer with all int8 values, for which a unit without a network is made."""
    return Layer.of_array(
        name="any",
        operator="any",
        weights=np.resize(np.arange(-128, 128, dtype=np.int8), (1, _LARGEST_REDUCTION)),
        weight_type=INT8,
        weight_zero_points=np.zeros(1, dtype=np.int32),
        groups=1,
        m=1,
        lowering=MatrixProduct(),
        weights_tensor="any",
        input_tensor="any",
        activation_type=INT8,
        activation_zero_point=0,
    )
