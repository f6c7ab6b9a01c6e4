"""Operands of one unit laid out cycle by cycle, for testbenches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewflips.datapath.arithmetic import PortWords
from fewflips.gates.operands import OperandSequences, PortRows


def first_cycles(sequences: OperandSequences, cycles: int, hold_flags: bool = False) -> PortWords:
    """The words at the ports of the first unit.

    Parameters
    ----------
    sequences : OperandSequences
        Sequences of the units of an array; the first is used.
    cycles : int
        Maximum number of cycles, from the beginning.
    hold_flags : bool
        Whether the unit has a port ``load``, which is not part of the sequences.

    Returns
    -------
    PortWords
        With the lanes of a systolic chain skewed.
    """
    end = int(sequences.first_passes[1]) if len(sequences.first_passes) > 1 else len(sequences.lengths)
    lengths = sequences.lengths[:end]
    ends = np.cumsum(lengths)
    count = min(cycles, int(ends[-1]))
    passes = np.searchsorted(ends, np.arange(count), side="right")
    times = np.arange(count) - (ends - lengths)[passes]
    words = {name: _port_words(rows, passes, times) for name, rows in sequences.inputs.items()}
    partial_sums, clear, negate = (words.get(name) for name in ("partial_sum", "clear", "negate"))
    weights = words["weights"].astype(np.uint16)
    return PortWords(
        weights=weights,
        activations=words["activations"].astype(np.uint16),
        partial_sums=None if partial_sums is None else partial_sums[:, 0].astype(np.int64),
        clear=None if clear is None else clear[:, 0].astype(np.bool_),
        load=_differing(weights) if hold_flags else None,
        weights_invert=_flags(words, "weights"),
        activations_invert=_flags(words, "activations"),
        negate=None if negate is None else negate[:, 0].astype(np.bool_),
    )


def _flags(words: dict[str, NDArray[np.integer]], port: str) -> NDArray[np.bool_] | None:
    flags = words.get(f"{port}_invert")
    return None if flags is None else flags.astype(np.bool_)


def _differing(words: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Which words differ from the one before on their lane; all of the first cycle's do."""
    load = np.ones(words.shape, dtype=np.bool_)
    load[1:] = words[1:] != words[:-1]
    return load


def _port_words(rows: PortRows, passes: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.integer]:
    row = rows.start[passes] + rows.stride * times
    cycle = np.arange(len(row))[:, None] - rows.delay
    lanes = np.arange(rows.words.shape[1])
    late = np.maximum(cycle - lanes if rows.skew else cycle + 0 * lanes, 0)
    return rows.words[row[late], lanes]
