"""Simulates a unit whose lanes go back and forth between two codes of weights each, under typical activations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.unit_work import settling_cycles
from fewflips.datapath.design import Datapath
from fewflips.estimation.calibration.sequences import Words, unit_sequences
from fewflips.estimation.word_pool import WordPool
from fewflips.formats.number_formats import decode
from fewflips.gates.netlist.cones import cones
from fewflips.gates.operands import Windows
from fewflips.gates.power.energy import EnergyModel
from fewflips.gates.switching import Circuit, simulate_groups
from fewflips.parallel.tasks import run_all
from fewflips.simulation.unit import ArithmeticUnit

WINDOWS = 64
"""Units with the same weights, each with activations of its own: they are simulated side by side."""
_BLOCK = 16
"""Cycles that are simulated together: a window and those that fill its registers make up whole blocks."""
_BLOCKS = {"held": 1, "moving": 2}
"""Blocks of a window: more where activations change, since a step then depends on two of them."""
_EARLIER_SEGMENTS = 4
"""Segments whose products form the incoming partial sums."""
_BATCH = 256
"""Groups of units whose operands are laid out at the same time."""


class StepBench:
    """A unit, and the activations that its weights meet.

    Parameters
    ----------
    unit : ArithmeticUnit
        The unit, with plain ports.
    activations : WordPool
        Activations: each window of a lane gets one of 64 quantiles of them, so that all steps meet the same ones.
    weight_share, activation_share : float
        The unit's share of operand registers (:class:`~fewflips.dataflows.unit_work.UnitWork`).
    seed : int
        Of activations and partial sums.
    jobs : int
        Threads.
    activations_move : bool, optional
        Whether activations change in every cycle; by default in a unit that accumulates.

    Attributes
    ----------
    activations_move : bool
        Whether activations change with every weight, as in a unit that accumulates; otherwise they stand still.
    """

    def __init__(
        self,
        unit: ArithmeticUnit,
        activations: WordPool,
        weight_share: float,
        activation_share: float,
        *,
        seed: int,
        jobs: int,
        activations_move: bool | None = None,
    ) -> None:
        self.unit, self.jobs = unit, jobs
        self.activations_move = unit.datapath.traits.accumulates if activations_move is None else activations_move
        self._coefficients: NDArray[np.float64] = coefficients_by_lane(
            unit, unit.shared_model(weight_share, activation_share)
        )
        self._settling = settling_cycles(unit.datapath)
        self._transitions = _transitions(unit.circuit, _BLOCKS["moving" if self.activations_move else "held"])
        generator = np.random.default_rng([seed, 7])
        self._activations = self._typical(activations, generator)
        self._partial_sums = self._sums(activations, generator) if unit.datapath.partial_sum_input else None

    @property
    def cycles(self) -> int:
        """Cycles of a window, with those in which registers settle."""
        return self._settling + self._transitions

    @property
    def contents(self) -> tuple[bytes, ...]:
        """Everything that energies depend on, as bytes: the circuit, its coefficients and its operands."""
        circuit = self.unit.circuit
        names = ("kinds", "functions", "operands", "outputs", "inverts", "bits", "delays")
        arrays = [getattr(circuit, name) for name in names]
        arrays += [self._coefficients, self._activations]
        arrays += [] if self._partial_sums is None else [self._partial_sums]
        return (repr(self.unit.datapath).encode(), *(np.ascontiguousarray(array).tobytes() for array in arrays))

    def energies_fj(self, pairs: NDArray[np.unsignedinteger]) -> NDArray[np.float64]:
        """Energy of a step, glitches included, averaged over both directions and all activations.

        Parameters
        ----------
        pairs : ndarray of uint8, shape (groups, lanes, 2)
            The two codes between which each lane goes back and forth.

        Returns
        -------
        ndarray of float64, shape (groups, lanes + 1)
            Data energy in fJ of a step of all lanes: in each lane's own logic, and in what lanes share.
        """
        batches = [pairs[begin : begin + _BATCH] for begin in range(0, len(pairs), _BATCH)]
        return np.concatenate(run_all(self._batch, batches, jobs=self.jobs, in_this_process=True))

    def _batch(self, pairs: NDArray[np.unsignedinteger]) -> NDArray[np.float64]:
        groups, lanes, _ = pairs.shape
        units = groups * WINDOWS
        turns = np.arange(self.cycles) % 2
        weights = np.repeat(pairs.transpose(0, 2, 1)[:, turns], WINDOWS, axis=0).reshape(-1, lanes)
        words: dict[str, Words] = {"weights": weights, "activations": np.tile(self._activations, (groups, 1))}
        sums = None if self._partial_sums is None else np.tile(self._partial_sums, (groups, 1))
        sequences = unit_sequences(self.unit.datapath, words, sums, units, self.cycles)
        first, transitions = np.full(WINDOWS, self._settling), np.full(WINDOWS, self._transitions)
        windows = [Windows(np.arange(begin, begin + WINDOWS), first, transitions) for begin in range(0, units, WINDOWS)]
        found = simulate_groups(self.unit.circuit, sequences, "inertial", windows, self._coefficients)
        return found / (WINDOWS * self._transitions)

    def _typical(self, pool: WordPool, generator: np.random.Generator) -> Words:
        """Quantiles of the pool in another order in every lane, or, where they move, in every cycle."""
        places = (np.arange(WINDOWS) + 0.5) / WINDOWS * len(pool.words)
        quantiles = np.sort(pool.words)[places.astype(np.int64)]
        columns = self.unit.datapath.lanes * (self.cycles if self.activations_move else 1)
        shuffled = generator.permuted(np.tile(quantiles[:, None], columns), axis=0)
        return np.ascontiguousarray(shuffled.reshape(-1, self.unit.datapath.lanes))

    def _sums(self, pool: WordPool, generator: np.random.Generator) -> NDArray[np.int64]:
        """Partial sums of some segments of random weights, one for every cycle of every window."""
        datapath = self.unit.datapath
        low, high = datapath.weights.value_range
        terms = _EARLIER_SEGMENTS * datapath.lanes
        held = _values(datapath, generator.choice(pool.words, (WINDOWS, terms, 1)))
        weights = generator.integers(low, high + 1, (WINDOWS, self.cycles, terms))
        start = datapath.sum_offset(0) + _EARLIER_SEGMENTS * datapath.tree_bias
        return np.asarray((weights @ held).reshape(-1, 1) + start, dtype=np.int64)


def coefficients_by_lane(unit: ArithmeticUnit, model: EnergyModel) -> NDArray[np.float64]:
    """What a toggle of each net costs, by the lane whose operands alone it depends on.

    Parameters
    ----------
    unit : ArithmeticUnit
        The unit, with plain ports.
    model : EnergyModel
        Its cost of toggles, shared registers scaled.

    Returns
    -------
    ndarray of float64, shape (lanes + 1, nets)
        In fJ; the last row has nets that depend on several lanes or on sums. In a unit of one lane everything is the
        lane's.
    """
    datapath = unit.datapath
    bits = {"weights": datapath.weights.bits, "activations": datapath.activations.bits}
    found = cones(unit.netlist, unit.library, bits)
    lanes = np.where(found.sums, datapath.lanes, found.lanes)
    lanes[lanes < 0] = datapath.lanes
    if datapath.lanes == 1:
        lanes[:] = 0
    coefficients = np.zeros((datapath.lanes + 1, len(lanes)))
    coefficients[lanes, np.arange(len(lanes))] = model.switching_fj + model.internal_fj
    return coefficients


def _transitions(circuit: Circuit, blocks: int) -> int:
    """Steps of a window: as many in one direction as in the other."""
    room = blocks * _BLOCK - (circuit.depth + 1)
    while room < 2:
        room += _BLOCK
    return room - room % 2


def _values(datapath: Datapath, codes: Words) -> NDArray[np.int64]:
    word = datapath.activations
    return decode(codes, word.format.number_format, word.bits).astype(np.int64)
