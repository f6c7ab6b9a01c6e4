"""One group of up to 64 windows, walked block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fewflips.gates.operands import OperandSequences, Windows
from fewflips.gates.switching.circuit import Circuit
from fewflips.gates.switching.packing import LANES, mark_active, pack_port
from fewflips.gates.switching.prepared import Prepared, skew_of
from fewflips.gates.switching.words import WIDTH


def aligned(words: int) -> NDArray[np.uint64]:
    """Zeroed words that begin at a multiple of a vector's size."""
    padded = np.zeros(words + WIDTH, dtype=np.uint64)
    begin = -(padded.ctypes.data // 8) % WIDTH
    return padded[begin : begin + words]


class Packer:
    """Packs the given bits of a circuit into a memory of words, block by block.

    Parameters
    ----------
    circuit : Circuit
        Its ports are packed.
    sequences : OperandSequences
        The values at the ports.
    prepared : Prepared
        The same, laid out.
    block_words : int
        Cycles per block, a multiple of WIDTH.
    """

    def __init__(self, circuit: Circuit, sequences: OperandSequences, prepared: Prepared, block_words: int) -> None:
        self._circuit = circuit
        self._sequences = sequences
        self._prepared = prepared
        self.block_words = block_words
        skews = [skew_of(sequences, port) for port in circuit.ports]
        late = np.concatenate([*skews, np.zeros(0, dtype=np.int64)])
        self.history = -(-(int(late.max(initial=0)) + WIDTH) // WIDTH) * WIDTH
        self._gap = self.history + block_words + WIDTH  # not a power of two: the bits spread over all cache sets
        self.size = len(late) * self._gap
        self.begins = np.arange(len(late)) * self._gap + self.history - late
        """Where in memory the block's words of each given bit begin."""
        self.active = aligned(block_words)
        """Lanes whose transition into the cycle is counted."""
        self._matrix = aligned(WIDTH * LANES)

    def blocks(self, windows: Windows, memory: NDArray[np.uint64]) -> Iterator[int]:
        """Pack the words of up to 64 windows into `memory`; yields the number of words of each block."""
        count = len(windows.sequence)
        lead = self._circuit.depth + 1
        begins = self._prepared.sequence_begins
        lane_begin, lane_end = begins[windows.sequence], begins[windows.sequence + 1]
        first_cycle = lane_begin + windows.first - lead
        stops = lead + windows.transitions
        firsts = np.full(count, lead, dtype=np.int64)
        total = int(stops.max())
        given = memory[: self.size].reshape(-1, self._gap)
        self._fill(given, (lane_begin, lane_end, first_cycle - self.history), self.history, 0)
        for word in range(0, total, self.block_words):
            words = min(self.block_words, -(-(total - word) // WIDTH) * WIDTH)
            if word:
                given[:, : self.history] = given[:, self.block_words : self.block_words + self.history]
            self._fill(given, (lane_begin, lane_end, first_cycle + word), words, self.history)
            mark_active(firsts, stops, count, word, self.active)
            yield words

    def _fill(
        self,
        given: NDArray[np.uint64],
        lanes: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
        words: int,
        place: int,
    ) -> None:
        """Pack `words` cycles of every port to the place given within each bit's words."""
        begin, end, cycle = lanes
        flat = given.reshape(-1)
        for port in self._circuit.ports:
            rows = (self._sequences.registers if port.is_register else self._sequences.inputs)[port.name]
            chunks = self._prepared.chunks[port.name]
            for done in range(0, words, self.block_words):
                part = min(words - done, self.block_words)
                pack_port(
                    chunks,
                    self._prepared.begins,
                    np.ascontiguousarray(rows.start, dtype=np.int64),
                    rows.stride,
                    begin,
                    end,
                    cycle + done - rows.delay,
                    part,
                    port.width,
                    self._matrix,
                    flat,
                    port.first_bit * self._gap + place + done,
                    self._gap,
                )
