"""A test bench for a unit: simulates synthetic streams gate by gate, and returns the energy per cycle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.phases import HeldOperand
from fewflips.dataflows.unit_work import settling_cycles
from fewflips.estimation.calibration.sequences import Words, unit_sequences, word_values
from fewflips.estimation.calibration.synthetic import flipping_words, likely_words
from fewflips.estimation.word_pool import WordPool
from fewflips.gates.operands import Toggles, Windows
from fewflips.gates.power.energy import EnergyModel, energy_of, scaled
from fewflips.gates.switching import simulate
from fewflips.records.calibration import RegisterEnergy
from fewflips.simulation.run import MODES
from fewflips.simulation.toggles import DelayModel
from fewflips.simulation.unit import ArithmeticUnit

EARLIER_SEGMENTS = 4
"""Number of segments whose products form the incoming partial sums."""
SEQUENCES = 64
"""Number of independent units, each with its own held operands."""
CYCLES = 64
"""Cycles of each unit after its registers have settled."""
_BIT_RATE = 0.5


class Bench:
    """A unit, and the words from which its streams are drawn.

    Parameters
    ----------
    unit : ArithmeticUnit
        The unit.
    weights, activations : WordPool
        Values of its operands.
    held : {"weights", "activations"}
        The operand held by default; the other one streams.
    seed : int
        Seed of all streams; the same seed gives the same energies.
    jobs : int
        Threads.

    Attributes
    ----------
    on_point : callable or None
        Called after each point.
    """

    def __init__(
        self,
        unit: ArithmeticUnit,
        weights: WordPool,
        activations: WordPool,
        held: HeldOperand,
        *,
        seed: int,
        jobs: int,
    ) -> None:
        self.unit, self.held, self.seed, self.jobs = unit, held, seed, jobs
        self._pools = {"weights": weights, "activations": activations}
        self._settling = settling_cycles(unit.datapath)
        self.sequence_cycles = CYCLES + self._settling
        self._logic = _without_registers(unit)
        self.on_point: Callable[[object], None] | None = None

    def registers(self) -> RegisterEnergy:
        """Energy of each operand's registers per flip, which does not depend on delays."""
        datapath = self.unit.datapath
        found = {}
        for name in ("weights", "activations"):
            moving = flipping_words(*self.shape, np.full(self.bits[name], _BIT_RATE), self.generator("registers"))
            other = "activations" if name == "weights" else "weights"
            words = {name: moving, other: np.zeros((SEQUENCES, datapath.lanes), dtype=np.uint8)}
            toggles = self._simulate(words, None, "zero-delay")
            with_registers = energy_of(_without_registers(self.unit, {name: 1.0}), toggles, 0.0, 0.0).data_fj
            flips = _BIT_RATE * self.bits[name] * datapath.lanes * toggles.transitions
            found[name] = max(0.0, with_registers - energy_of(self._logic, toggles, 0.0, 0.0).data_fj) / flips
            self._step()
        return RegisterEnergy(weights_fj=found["weights"], activations_fj=found["activations"])

    @property
    def cycles(self) -> int:
        """Unit cycles behind each point."""
        return SEQUENCES * CYCLES

    @property
    def bits(self) -> dict[str, int]:
        """Width of each operand's words."""
        return {"weights": self.unit.datapath.weights.bits, "activations": self.unit.datapath.activations.bits}

    @property
    def shape(self) -> tuple[int, int]:
        """Cycles of all sequences together, and lanes."""
        return SEQUENCES * self.sequence_cycles, self.unit.datapath.lanes

    @property
    def streaming(self) -> str:
        """The operand that is not held."""
        return "weights" if self.held == "activations" else "activations"

    def pool(self, name: str) -> WordPool:
        """Words of an operand."""
        return self._pools[name]

    def generator(self, purpose: str) -> np.random.Generator:
        """Random numbers for a purpose, shared by all points of that purpose so that noise cancels."""
        return np.random.default_rng([self.seed, *purpose.encode()])

    def stream(self, name: str, nhd: float) -> Words:
        """A held operand has one row per sequence, a moving one a row per cycle."""
        cycles, lanes = self.shape
        generator = self.generator(name)
        if nhd == 0:
            return generator.choice(self.pool(name).words, (SEQUENCES, lanes))
        chains = likely_words(self.pool(name), self.sequence_cycles, SEQUENCES * lanes, nhd, generator)
        return chains.reshape(self.sequence_cycles, SEQUENCES, lanes).swapaxes(0, 1).reshape(cycles, lanes)

    def sums_of_segments(self, nhd: float | None) -> NDArray[np.int64]:
        """Sums of some segments whose words stream with a given NHD, or are redrawn each cycle."""
        datapath, generator = self.unit.datapath, self.generator("partial sums")
        pool, lanes = self.pool(self.streaming), datapath.lanes
        size = (SEQUENCES, self.sequence_cycles, lanes)
        sums = np.full(size[:2], datapath.sum_offset(0), dtype=np.int64)
        for _ in range(EARLIER_SEGMENTS):
            if nhd is None:
                streaming = generator.choice(pool.words, size)
            elif nhd == 0:
                streaming = np.broadcast_to(generator.choice(pool.words, (SEQUENCES, 1, lanes)), size)
            else:
                chains = likely_words(pool, self.sequence_cycles, SEQUENCES * lanes, nhd, generator)
                streaming = chains.reshape(self.sequence_cycles, SEQUENCES, lanes).swapaxes(0, 1)
            held = generator.choice(self.pool(self.held).words, (SEQUENCES, 1, lanes))
            words = {self.streaming: streaming, self.held: held}
            products = word_values(datapath, "weights", words) * word_values(datapath, "activations", words)
            sums += products.sum(axis=2) + datapath.tree_bias
        return sums.reshape(-1, 1)

    def energies_fj(
        self, words: dict[str, Words], partial_sums: NDArray[np.int64] | None = None
    ) -> dict[DelayModel, float]:
        """Data energy per unit cycle under both delay models, without operand registers.

        Parameters
        ----------
        words : dict of str to ndarray of uint8 or uint16
            ``weights`` and ``activations``, as
            :func:`~fewflips.estimation.calibration.sequences.unit_sequences` takes them.
        partial_sums : ndarray of int64, shape (cycles, 1), optional
            Incoming partial sums; zero by default.

        Returns
        -------
        dict of str to float
            In fJ.
        """
        toggles = {mode: self._simulate(words, partial_sums, mode) for mode in MODES}
        self._step()
        return {
            mode: energy_of(self._logic, found, 0.0, 0.0).data_fj / found.transitions for mode, found in toggles.items()
        }

    def _simulate(self, words: dict[str, Words], partial_sums: NDArray[np.int64] | None, mode: DelayModel) -> Toggles:
        sequences = unit_sequences(self.unit.datapath, words, partial_sums, SEQUENCES, self.sequence_cycles)
        windows = Windows(
            np.arange(SEQUENCES), np.full(SEQUENCES, self._settling), np.full(SEQUENCES, CYCLES, dtype=np.int64)
        )
        return simulate(self.unit.circuit, sequences, mode, windows=windows, jobs=self.jobs)

    def _step(self) -> None:
        if self.on_point:
            self.on_point(None)


def _without_registers(unit: ArithmeticUnit, shares: dict[str, float] | None = None) -> EnergyModel:
    """Cost of toggles, without operand registers and their input wires, or with a share of them."""
    instance_share = np.ones(len(unit.netlist.instances))
    net_share = np.ones(len(unit.netlist.nets))
    for name in ("weights", "activations"):
        share = (shares or {}).get(name, 0.0)
        instance_share[unit.banks.get(name, [])] = share
        net_share[list(unit.netlist.inputs[name])] = share
    return scaled(unit.model, instance_share, net_share)
