"""The two ways to evaluate a circuit for one group of lanes, block by block: without delays and with them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fewflips.gates.switching.circuit import Circuit
from fewflips.gates.switching.lanes import Packer, aligned
from fewflips.gates.switching.layout import WaveformLayout, delay_table, settled_slots
from fewflips.gates.switching.with_delays import propagate
from fewflips.gates.switching.words import WIDTH
from fewflips.gates.switching.zero_delay import settle


class Evaluator(Protocol):
    """Evaluates block after block of one group of lanes, and adds up counts per step of the circuit."""

    toggles: NDArray[np.int64]
    high: NDArray[np.int64]
    memory: NDArray[np.uint64]
    packer: Packer

    def block(self, words: int) -> None:
        """Evaluate the words that the packer has placed in memory."""


class Settling:
    """Evaluates without delays."""

    def __init__(self, circuit: Circuit, packer: Packer) -> None:
        self.packer = packer
        self._circuit = circuit
        gap = packer.block_words + WIDTH
        slots, end = settled_slots(circuit)
        offsets = packer.size + slots * gap
        self._reads = offsets[circuit.operands]
        self._writes = offsets[circuit.outputs]
        self._given = _given(circuit, packer)
        self.memory = aligned(packer.size + end * gap)
        self._before = np.zeros((len(circuit.kinds), 2), dtype=np.uint64)
        self.toggles = np.zeros(len(circuit.kinds), dtype=np.int64)
        self.high = np.zeros(len(circuit.kinds), dtype=np.int64)

    def block(self, words: int) -> None:
        """Evaluate the words that are packed."""
        circuit = self._circuit
        settle(
            circuit.kinds,
            circuit.functions,
            self._reads,
            self._writes,
            circuit.inverts,
            self._given,
            self.memory,
            self.packer.active,
            words,
            self._before,
            self.toggles,
            self.high,
        )


class Propagating:
    """Evaluates with delays."""

    def __init__(self, circuit: Circuit, packer: Packer, layout: WaveformLayout, inertial: bool) -> None:
        self.packer = packer
        self._table = delay_table(circuit, layout, packer.size, _given(circuit, packer), inertial)
        self.memory = aligned(packer.size + layout.words)
        self.masks = np.zeros(layout.mask_words, dtype=np.uint64)
        self._data = aligned(len(circuit.kinds) * WIDTH)
        self._differences = aligned((layout.longest_mask * 64 + int(circuit.delays.max(initial=0)) + 1) * WIDTH)
        self._changed = np.zeros(layout.longest_mask, dtype=np.uint64)
        self.toggles = np.zeros(len(circuit.kinds), dtype=np.int64)
        self.high = np.zeros(len(circuit.kinds), dtype=np.int64)

    def block(self, words: int) -> None:
        """Evaluate the words that are packed."""
        propagate(
            self._table,
            self.memory,
            self.masks,
            self.packer.active,
            words,
            self._data,
            self._differences,
            self._changed,
            self.toggles,
            self.high,
        )


def _given(circuit: Circuit, packer: Packer) -> NDArray[np.int64]:
    """Where the given words of each step begin; 0 for steps without any."""
    if circuit.given_bits == 0:
        return np.zeros(len(circuit.kinds), dtype=np.int64)
    return np.where(circuit.bits >= 0, packer.begins[circuit.bits], 0)
