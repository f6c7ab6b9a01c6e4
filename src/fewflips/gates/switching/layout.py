"""Where each signal's words are stored while needed: as few and as low as possible, so that they stay in cache."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import NetlistError
from fewflips.gates.switching import with_delays as columns
from fewflips.gates.switching.circuit import Circuit
from fewflips.gates.switching.steps import Kind
from fewflips.gates.switching.words import WIDTH

_RECENT = 4  # number of circuits whose layouts are kept


@dataclass(frozen=True, eq=False)
class WaveformLayout:
    """Places of waveforms.

    Parameters
    ----------
    places : ndarray of int64, shape (signals,)
        Word at which the vectors of each signal begin.
    words : int
        Words of all vectors.
    first_times : ndarray of int64, shape (signals,)
        First time step in which each signal can change; 0 for signals that never do.
    mask_places : ndarray of int64, shape (signals,)
        Word at which the mask of each signal begins; the word before it belongs to it.
    mask_lengths : ndarray of int64, shape (signals,)
        Words of each signal's mask.
    mask_words : int
        Words of all masks.
    """

    places: NDArray[np.int64] = field(repr=False)
    words: int
    first_times: NDArray[np.int64] = field(repr=False)
    mask_places: NDArray[np.int64] = field(repr=False)
    mask_lengths: NDArray[np.int64] = field(repr=False)
    mask_words: int

    @property
    def longest_mask(self) -> int:
        """Words of the longest mask."""
        return int(self.mask_lengths.max())


@lru_cache(maxsize=_RECENT)
def settled_slots(circuit: Circuit) -> tuple[NDArray[np.int64], int]:
    """A slot for each signal while it is needed, int64 of shape (signals,), and the number of slots."""
    return places(circuit, np.ones(circuit.signals, dtype=np.int64))


@lru_cache(maxsize=_RECENT)
def waveform_layout(circuit: Circuit, shared: bool = True) -> WaveformLayout:
    """Places of all waveforms; optionally, those that are not needed at the same time share memory."""
    times = circuit.event_times
    first = np.array([(time & -time).bit_length() - 1 if time else 0 for time in times], dtype=np.int64)
    last = np.array([time.bit_length() for time in times], dtype=np.int64)
    lengths = np.maximum(1, -(-(last - first) // 64))
    sizes = np.array([time.bit_count() + 2 for time in times], dtype=np.int64) * WIDTH
    if shared:
        offsets, words = places(circuit, sizes)
        mask_offsets, mask_words = places(circuit, lengths + 1)
    else:
        offsets, words = np.cumsum(sizes) - sizes, int(sizes.sum())
        mask_offsets, mask_words = np.cumsum(lengths + 1) - lengths - 1, int((lengths + 1).sum())
    return WaveformLayout(offsets, words, first, mask_offsets + 1, lengths, mask_words)


def delay_table(
    circuit: Circuit, layout: WaveformLayout, begin: int, given: NDArray[np.int64], inertial: bool
) -> NDArray[np.int32]:
    """The table of steps for :func:`~fewflips.gates.switching.with_delays.propagate`.

    Parameters
    ----------
    circuit : Circuit
        The steps.
    layout : WaveformLayout
        Places of waveforms.
    begin : int
        Word at which waveforms begin in memory.
    given : ndarray of int64, shape (steps,)
        Where the given words of ports begin.
    inertial : bool
        Whether gates swallow short pulses.

    Returns
    -------
    ndarray of int32, shape (steps, COLUMNS)
        One step per row.

    Raises
    ------
    NetlistError
        If the waveforms take more memory than places can address.
    """
    if begin + layout.words > np.iinfo(np.int32).max:
        raise NetlistError(
            f"netlist {circuit.netlist.name}: expected waveforms of at most 16 GiB, got "
            f"{8 * layout.words / 2**30:.0f} GiB; take a coarser step"
        )
    table = _constant_columns(circuit, layout, inertial).copy()
    table[:, columns.OUTPUT] += begin
    table[:, columns.OPERANDS : columns.OPERANDS + 4] += begin
    table[:, columns.GIVEN] = given
    return table


@lru_cache(maxsize=_RECENT)
def _constant_columns(circuit: Circuit, layout: WaveformLayout, inertial: bool) -> NDArray[np.int32]:
    """The table with waveforms beginning at word 0, without the given words."""
    table = np.zeros((len(circuit.kinds), columns.COLUMNS), dtype=np.int32)
    changing = np.array([time != 0 for time in circuit.event_times])[circuit.operands]
    own = layout.first_times[circuit.operands]
    earliest = np.where(changing, own, np.iinfo(np.int64).max).min(axis=1)
    table[:, columns.KIND] = circuit.kinds
    table[:, columns.FUNCTION] = circuit.functions
    table[:, columns.INVERTS] = circuit.inverts != 0
    table[:, columns.OUTPUT] = layout.places[circuit.outputs]
    table[:, columns.MASK_OUTPUT] = layout.mask_places[circuit.outputs]
    table[:, columns.MASK_WORDS] = layout.mask_lengths[circuit.outputs]
    table[:, columns.FOLLOWING] = np.maximum(circuit.delays - 1, 0) if inertial else 0
    four = np.arange(4)
    table[:, columns.OPERANDS + four] = layout.places[circuit.operands]
    table[:, columns.MASKS + four] = layout.mask_places[circuit.operands]
    table[:, columns.SHIFTS + four] = np.where(changing, own - earliest[:, None], 0)
    table[:, columns.LENGTHS + four] = layout.mask_lengths[circuit.operands]
    return table


def places(circuit: Circuit, sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Offsets of all signals; those that are not needed at the same time may overlap.

    A step may overwrite operands that no later step reads.

    Parameters
    ----------
    circuit : Circuit
        Its steps determine when each signal is computed and last read.
    sizes : ndarray of int64, shape (signals,)
        Words of each signal.

    Returns
    -------
    ndarray of int64, shape (signals,)
        First word of each signal; 0 for signals that no step computes.
    int
        Total number of words.
    """
    offsets = np.zeros(circuit.signals, dtype=np.int64)
    free = _FreeSpace()
    expiring: dict[int, list[int]] = {}
    last_uses = circuit.last_uses.tolist()
    for number, (kind, output) in enumerate(zip(circuit.kinds.tolist(), circuit.outputs.tolist(), strict=True)):
        for signal in expiring.pop(number, ()):
            free.give(int(offsets[signal]), int(sizes[signal]))
        if kind == Kind.CHECK:
            continue
        offsets[output] = free.take(int(sizes[output]))
        if last_uses[output] == number:
            free.give(int(offsets[output]), int(sizes[output]))
        else:
            expiring.setdefault(last_uses[output], []).append(output)
    return offsets, free.end


class _FreeSpace:
    """Free intervals of a growing memory; the lowest that fits is used."""

    def __init__(self) -> None:
        self.end = 0
        self._free: list[tuple[int, int]] = []

    def take(self, size: int) -> int:
        for number, (begin, end) in enumerate(self._free):
            if end - begin >= size:
                if end - begin == size:
                    del self._free[number]
                else:
                    self._free[number] = (begin + size, end)
                return begin
        reaches_end = bool(self._free) and self._free[-1][1] == self.end
        begin = self._free.pop()[0] if reaches_end else self.end
        self.end = begin + size
        return begin

    def give(self, begin: int, size: int) -> None:
        """Return an interval and join it with its neighbours."""
        insort(self._free, (begin, begin + size))
        number = self._free.index((begin, begin + size))
        if number + 1 < len(self._free) and self._free[number + 1][0] == begin + size:
            self._free[number : number + 2] = [(begin, self._free[number + 1][1])]
        if number > 0 and self._free[number - 1][1] == begin:
            self._free[number - 1 : number + 1] = [(self._free[number - 1][0], self._free[number][1])]
