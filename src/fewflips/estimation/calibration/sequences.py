"""Synthetic streams as sequences of a unit's ports."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewflips.datapath.design import Datapath
from fewflips.formats.number_formats import decode
from fewflips.gates.operands import OperandSequences, PortRows

Words = NDArray[np.unsignedinteger]
"""Codes of one operand, one row per cycle or one per sequence."""


def unit_sequences(
    datapath: Datapath,
    words: dict[str, Words],
    partial_sums: NDArray[np.int64] | None,
    sequences: int,
    cycles: int,
) -> OperandSequences:
    """Streams of several units, one pass each.

    Parameters
    ----------
    datapath : Datapath
        The unit.
    words : dict of str to ndarray of uint8 or uint16
        ``weights`` and ``activations``: shape (sequences, lanes) if held, else (sequences x cycles, lanes).
    partial_sums : ndarray of int64, shape (sequences x cycles, 1), or None
        Incoming partial sums with their offset; those of a first segment for None.
    sequences, cycles : int
        Number of units, and of cycles in each.

    Returns
    -------
    OperandSequences
        Accumulators of a multiply-accumulate unit start at zero in each sequence; no word is negated.
    """
    passes = np.arange(sequences, dtype=np.int64)
    skew = datapath.traits.skewed

    def rows(content: NDArray[np.integer], bits: int, *, delay: int = 0, skewed: bool = False) -> PortRows:
        held = len(content) == sequences
        return PortRows(content, bits, passes * (1 if held else cycles), 0 if held else 1, delay, skewed)

    inputs = {
        "weights": rows(words["weights"], datapath.weights.bits, skewed=skew),
        "activations": rows(words["activations"], datapath.activations.bits, skewed=skew),
    }
    registers = {}
    if datapath.partial_sum_input:
        content = np.full((sequences, 1), datapath.sum_offset(0)) if partial_sums is None else partial_sums
        inputs["partial_sum"] = rows(content, datapath.accumulator_bits, delay=datapath.partial_sum_delay)
    if datapath.sign_flags:
        inputs["negate"] = rows(np.zeros((sequences, 1), dtype=np.uint8), 1)
    if datapath.traits.accumulates:
        clear = np.zeros((cycles, 1), dtype=np.uint8)
        clear[0] = 1
        inputs["clear"] = PortRows(clear, 1, np.zeros(sequences, dtype=np.int64), 1)
        sums = _running_sums(datapath, words, sequences, cycles)
        registers["accumulator"] = PortRows(sums, datapath.accumulator_bits, passes * cycles, 1, delay=datapath.latency)
    return OperandSequences(np.full(sequences, cycles, dtype=np.int64), passes, inputs, registers)


def word_values(datapath: Datapath, name: str, words: dict[str, Words]) -> NDArray[np.int64]:
    """Integers represented by an operand's words, same shape."""
    word = datapath.weights if name == "weights" else datapath.activations
    return decode(words[name], word.format.number_format, word.bits).astype(np.int64)


def _running_sums(datapath: Datapath, words: dict[str, Words], sequences: int, cycles: int) -> NDArray[np.int64]:
    shaped = {name: content.reshape(sequences, -1, datapath.lanes) for name, content in words.items()}
    products = word_values(datapath, "weights", shaped) * word_values(datapath, "activations", shaped)
    products = np.broadcast_to(products, (sequences, cycles, datapath.lanes))
    return np.cumsum(products.sum(axis=2), axis=1).reshape(-1, 1)
