"""Arithmetic units and operands for tests."""

from __future__ import annotations

import numpy as np

from fewflips.datapath.arithmetic import PortWords
from fewflips.datapath.design import Datapath, Word, WordFormat


def random_words(datapath: Datapath, cycles: int, seed: int) -> PortWords:
    """Uniformly random codes; a mac is cleared in the first cycle and in one of five after it.

    Half of the weights of a unit with hold flags are held, whatever is at the port; all lanes load by cycle 2.
    """
    rng = np.random.default_rng(seed)

    def codes(word: Word):
        return rng.integers(0, 1 << word.bits, (cycles, datapath.lanes)).astype(np.uint16)

    partial_sums = rng.integers(-(1 << 62), 1 << 62, cycles) if datapath.partial_sum_input else None
    clear = (rng.random(cycles) < 0.2) | (np.arange(cycles) == 0) if datapath.kind == "mac" else None
    weights, activations, load = codes(datapath.weights), codes(datapath.activations), None
    if datapath.activation_converter:  # the smallest code has no sign and magnitude
        activations = np.where(activations == 1 << (datapath.activations.bits - 1), 0, activations).astype(np.uint16)
    if datapath.hold_flags:
        load = rng.random((cycles, datapath.lanes)) < 0.5
        load[2:3] = True
    invert = {f"{port}_invert": rng.random((cycles, datapath.lanes)) < 0.5 for port in datapath.bus_invert_ports}
    negate = rng.random(cycles) < 0.5 if datapath.sign_flags else None
    return PortWords(weights, activations, partial_sums, clear, load, **invert, negate=negate)


def value(code: int, word: Word) -> int:
    """What a code means, by Python's integers."""
    top = 1 << (word.bits - 1)
    if word.format is WordFormat.UNSIGNED or code < top:
        return code
    return code - 2 * top if word.format is WordFormat.TWOS_COMPLEMENT else -(code - top)
