"""What the weights of layers in training cost on a machine, in femtojoules, measured in its unit at gate level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import dataflow_of
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.unit_datapath import network_datapath
from fewflips.dataflows.unit_words import stored_word, widen
from fewflips.errors import AcceleratorError
from fewflips.estimation.calibration.synthetic import synthetic_activations
from fewflips.estimation.transitions.bench import StepBench
from fewflips.estimation.transitions.held_bench import ActivationSource, HeldBench
from fewflips.estimation.transitions.held_energies import measure_held
from fewflips.estimation.transitions.step_energies import measure_steps
from fewflips.estimation.word_pool import WordPool
from fewflips.formats.number_formats import StorageType
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer
from fewflips.progress import Progress, counter
from fewflips.simulation.run import EnergyOptions
from fewflips.simulation.setup import network_unit
from fewflips.simulation.unit import ArithmeticUnit
from fewflips.training.hamming.weight_streams import WeightStream, layer_of
from fewflips.training.switching.activation_sources import along_channels, along_pixels, along_reduction
from fewflips.training.switching.observed_inputs import ObservedInput
from fewflips.training.weight_views import WeightView

MOST_BITS = 9
"""Widest weights whose codes and steps are tabulated."""
_MOST_EARLIER_SEGMENTS = 4
_POOL_SEED = 3
_LEVEL_GROUPS = 32
"""Groups of steps by which typical activations are compared with those of a layer."""
_UINT8 = StorageType(8, signed=False)


@dataclass(frozen=True, eq=False)
class LayerEnergies:
    """Energy of one layer's words; V is the number of values, S that of codes of the layer's width.

    Parameters
    ----------
    repeats : int
        How often every step and every word is seen by a unit in one inference.
    steps_fj : ndarray of float64, shape (S, S), or None
        Of the step from one code to the next, in one unit; None where weights do not follow one another.
    held_fj : ndarray of float64, shape (S,), or None
        Of a cycle in which a code meets another activation than in the cycle before; None where activations do not
        change with every word.
    fixed_fj : float
        What units spend besides in one inference, whatever their weights.
    """

    repeats: int
    steps_fj: NDArray[np.float64] | None = field(repr=False)
    held_fj: NDArray[np.float64] | None = field(repr=False)
    fixed_fj: float


@dataclass(frozen=True)
class MeasuringOptions:
    """How energies are measured.

    Parameters
    ----------
    cells : str, Path or CellLibrary
        A built-in table's name, a cell table, or a Liberty file.
    seed : int
        Of everything that is drawn.
    jobs : int
        Threads; -1 for all processors.
    progress : callable or None
        Called as ``progress(phase, done, total)``.
    """

    cells: str | Path | CellLibrary = "nangate45"
    seed: int = 0
    jobs: int = -1
    progress: Progress | None = field(default=None, compare=False)


def check_measurable(views: Sequence[WeightView], array: Accelerator) -> None:
    """Refuse a machine on which energies of words cannot be measured, before anything takes long.

    Raises
    ------
    AcceleratorError
        If it has no unit for these layers, or its words are too wide for tables.
    """
    datapath = network_datapath([_unit_layer(view, 1, 0) for view in views], _plain(array))
    if datapath.weights.bits > MOST_BITS:
        raise AcceleratorError(
            f"{array.name}: expected weights of at most {MOST_BITS} bits for tables of their energy, got "
            f"{datapath.weights.bits}: take a machine with narrower weights, or HammingLoss, which counts flips"
        )


def layer_energies(
    streams: Sequence[WeightStream],
    inputs: Sequence[ObservedInput],
    codes: Sequence[NDArray[np.integer]],
    array: Accelerator,
    calibration: MeasuringOptions,
) -> list[LayerEnergies]:
    """Measure what words and steps of every layer cost, or take it from the cache.

    Parameters
    ----------
    streams : sequence of WeightStream
        The layers.
    inputs : sequence of ObservedInput
        What each was given.
    codes : sequence of ndarray of int16, shape (N, K)
        Present integer codes of each: neighbours of the codes that are measured.
    array : Accelerator
        The machine.
    calibration : MeasuringOptions
        Cells, seed, threads.

    Returns
    -------
    list of LayerEnergies
        One a layer.

    Raises
    ------
    FewflipsError
        If the machine's unit or the cells cannot be used.
    """
    layers = [_unit_layer(s.view, i.pixels, i.zero_point) for s, i in zip(streams, inputs, strict=True)]
    options = EnergyOptions(seed=calibration.seed, jobs=calibration.jobs)
    plain, progress = _plain(array), calibration.progress
    unit = network_unit(layers, plain, load_cells(calibration.cells), options, progress=progress)
    step = counter(progress, "measuring the energy of weights", len(layers))
    found = []
    for layer, stream, given, present in zip(layers, streams, inputs, codes, strict=True):
        layer = _unit_layer(stream.view, given.pixels, given.zero_point, present)
        found.append(_Measurement(layer, stream, given, plain, unit, options, progress).energies())
        if step:
            step(layer)
    return found


class _Measurement:
    """One layer on the machine's unit."""

    def __init__(
        self,
        layer: Layer,
        stream: WeightStream,
        given: ObservedInput,
        array: Accelerator,
        unit: ArithmeticUnit,
        options: EnergyOptions,
        progress: Progress | None,
    ) -> None:
        self.layer, self.stream, self.given, self.array = layer, stream, given, array
        self.unit, self.options, self.progress = unit, options, progress
        self.flow = dataflow_of(array)
        self.segments = self.flow.segments(layer, array)
        self.work = self.flow.unit_work(layer, self.segments, array)
        self.operands = layer_operands(layer, given.rows, array, unit.datapath)

    def energies(self) -> LayerEnergies:
        moves = self.stream.is_depthwise or self.flow.held_operand != "activations" or self._accumulates
        steps = self._steps(moves) if self.flow.weights_stream else None
        held, unit_fj = self._held() if moves else (None, 0.0)
        return LayerEnergies(self.layer.m, steps, held, unit_fj * self.work.unit_cycles)

    @property
    def _accumulates(self) -> bool:
        return self.unit.datapath.traits.accumulates

    def _steps(self, moves: bool) -> NDArray[np.float64]:
        """Steps under typical activations, which all layers share, at the level of the layer's own activations."""
        generator = np.random.default_rng([self.options.seed, _POOL_SEED])
        usual = self._step_bench(synthetic_activations(self.unit.datapath.activations, generator), moves)
        steps_fj = measure_steps(usual, seed=self.options.seed, progress=self.progress).steps_fj
        own_pool = WordPool(self.operands.activations.reshape(-1), self.unit.datapath.activations.bits)
        own = self._held_bench() if moves else self._step_bench(own_pool, moves)
        pairs = self._some_steps()
        usual_fj = _beyond_standing_still(usual, pairs)
        level = _beyond_standing_still(own, pairs) / usual_fj if usual_fj > 0 else 1.0
        wires = self._at_unit(np.arange(1 << self.stream.word_bits))
        return np.ascontiguousarray(steps_fj[np.ix_(wires, wires)] * max(level, 0.0))

    def _some_steps(self) -> NDArray[np.unsignedinteger]:
        """Steps between weights of the layer, shape (groups, lanes, 2)."""
        generator = np.random.default_rng([self.options.seed, _POOL_SEED, 1])
        shape = (_LEVEL_GROUPS, self.unit.datapath.lanes, 2)
        return np.asarray(generator.choice(self.operands.weights.reshape(-1), shape))

    def _step_bench(self, pool: WordPool, moves: bool) -> StepBench:
        return StepBench(
            self.unit,
            pool,
            self.work.weight_copies,
            self.work.activation_copies,
            seed=self.options.seed,
            jobs=self.options.threads,
            activations_move=moves,
        )

    def _held_bench(self) -> HeldBench:
        return HeldBench(
            self.unit,
            self._source(),
            WordPool(self.operands.weights.reshape(-1), self.unit.datapath.weights.bits),
            self.work.weight_copies,
            self.work.activation_copies,
            earlier_segments=self._earlier_segments(),
            seed=self.options.seed,
            jobs=self.options.threads,
        )

    def _held(self) -> tuple[NDArray[np.float64], float]:
        found = measure_held(self._held_bench(), seed=self.options.seed)
        return found.codes_fj[self._at_unit(np.arange(1 << self.stream.word_bits))], found.unit_fj

    def _source(self) -> ActivationSource:
        if self._accumulates:
            return along_reduction(self.operands.activations)
        if self.flow.weights_stream:
            return along_channels(self.operands.activations)
        return along_pixels(self.operands.activations, self.array.lanes)

    def _earlier_segments(self) -> int:
        """Segments before one of the layer, on average."""
        passes = -(-self.layer.k // self.array.lanes)
        return min(_MOST_EARLIER_SEGMENTS, passes // 2)

    def _at_unit(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes of the layer's width at that of the unit."""
        word = stored_word(self.layer.weight_type, self.array.weights, self.stream.word_bits)
        return widen(codes.astype(np.uint16), word, self.unit.datapath.weights).astype(np.int64)


def _beyond_standing_still(bench: StepBench, pairs: NDArray[np.unsignedinteger]) -> float:
    """Mean energy of steps, in fJ, less what is spent where weights stand still at one code or the other."""
    energy_fj = float(bench.energies_fj(pairs).sum())
    if bench.activations_move:
        energy_fj -= sum(float(bench.energies_fj(pairs[..., [end, end]]).sum()) for end in (0, 1)) / 2
    return energy_fj / len(pairs)


def _plain(array: Accelerator) -> Accelerator:
    """The machine's units alone, with plain ports."""
    return array.uncoded.model_copy(update={"buffers": None})


def _unit_layer(view: WeightView, pixels: int, zero_point: int, codes: NDArray[np.integer] | None = None) -> Layer:
    """A layer for which a unit is built, with all values that its weights may take."""
    weights = np.zeros(view.shape, dtype=np.int8) if codes is None else codes.astype(np.int8)
    if codes is None:
        weights.reshape(-1)[:2] = (view.low, view.high)[: weights.size]
    return layer_of(view, weights, m=pixels, activation_type=_UINT8, activation_zero_point=zero_point)
