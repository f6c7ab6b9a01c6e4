"""What a datapath sees, cycle by cycle: for each input port, rows of codes and the cycles in which they appear.

A datapath's *sequence* is a series of passes; in a pass each port either holds one row of its matrix or steps through
consecutive rows. This describes the streams of all dataflows without laying them out in memory: weights streaming past
held activations, activations past held weights, or both past an accumulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class PortRows:
    """Codes at one input port (or in one feedback register).

    In cycle t of pass p the port sees row ``start[p] + stride * t``.

    Parameters
    ----------
    words : ndarray of uint8, uint16, int32 or int64, shape (R, L)
        One row per cycle: a code for each of L lanes. Signed integers are in two's complement.
    bits : int
        Width of a code: lane l is at bits ``l * bits`` to ``(l + 1) * bits - 1`` of the port.
    start : ndarray of int64, shape (P,)
        First row of each pass.
    stride : int
        Rows that the port advances per cycle: 1, or 0 if the row is held throughout the pass.
    delay : int
        Cycles by which the whole port is delayed. Before the start of a sequence its first row is held.
    skew : bool
        Whether lane l is delayed by a further l cycles, as in a systolic chain.
    """

    words: NDArray[np.integer] = field(repr=False)
    bits: int
    start: NDArray[np.int64] = field(repr=False)
    stride: int
    delay: int = 0
    skew: bool = False


@dataclass(frozen=True, eq=False)
class OperandSequences:
    """Everything that drives one datapath, for one or several independent sequences of cycles.

    A sequence is what one physical unit (one column of the array) does, from its first cycle to its last. Before
    the first cycle all ports have held the first row long enough for every register to settle, so cycle 0 toggles
    nothing; the first transition counted is that from cycle 0 to 1.

    Parameters
    ----------
    lengths : ndarray of int64, shape (P,)
        Cycles of each pass.
    first_passes : ndarray of int64, shape (S,)
        The pass with which each sequence begins; the first entry is 0.
    inputs : mapping of str to PortRows
        One for every input port of the netlist except its clock.
    registers : mapping of str to PortRows
        Contents of registers with feedback, by the name of the output port that shows them. All other registers are
        one cycle behind their data input, and need no entry.
    """

    lengths: NDArray[np.int64] = field(repr=False)
    first_passes: NDArray[np.int64] = field(repr=False)
    inputs: Mapping[str, PortRows]
    registers: Mapping[str, PortRows] = field(default_factory=dict)

    @property
    def sequence_cycles(self) -> NDArray[np.int64]:
        """Cycles of each sequence, shape (S,)."""
        sums = np.concatenate(([0], np.cumsum(self.lengths)))
        ends = np.append(self.first_passes[1:], len(self.lengths))
        return sums[ends] - sums[self.first_passes]


@dataclass(frozen=True, eq=False)
class Windows:
    """Parts of sequences to simulate.

    Parameters
    ----------
    sequence : ndarray of int64, shape (V,)
        Which sequence.
    first : ndarray of int64, shape (V,)
        First transition: 1 is the one from cycle 0 to cycle 1.
    transitions : ndarray of int64, shape (V,)
        Transitions to count.
    """

    sequence: NDArray[np.int64] = field(repr=False)
    first: NDArray[np.int64] = field(repr=False)
    transitions: NDArray[np.int64] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Toggles:
    """Toggles of every net.

    Parameters
    ----------
    toggles : ndarray of int64, shape (nets,)
        Value changes, summed over all transitions counted.
    high : ndarray of int64, shape (nets,)
        Transitions after which the net settled at 1.
    transitions : int
        Transitions counted, summed over the windows.
    """

    toggles: NDArray[np.int64] = field(repr=False)
    high: NDArray[np.int64] = field(repr=False)
    transitions: int

    def __add__(self, other: Toggles) -> Toggles:
        return Toggles(self.toggles + other.toggles, self.high + other.high, self.transitions + other.transitions)
