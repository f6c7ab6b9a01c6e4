"""Typical operands of a unit, whose toggles weight the state-dependent figures of cell libraries.

Cell libraries give internal energies by the state of the other pins, and by the input that caused a transition. The
frequencies of these cases are taken from one short stream, the same for every network, so that energies stay linear in
toggles: uniform random weights, and activations like those after a ReLU, 45 % of them zero and the others half-normal.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import dataflow_of
from fewflips.dataflows.layer_operands import LayerOperands
from fewflips.dataflows.unit_work import PART_CYCLES
from fewflips.datapath.design import Datapath, Word
from fewflips.formats.number_formats import UINT8, encode, value_range
from fewflips.gates.operands import OperandSequences
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer
from fewflips.network.lowering import MatrixProduct

ZERO_ACTIVATIONS = 0.45
"""Share of zeros among activations."""
NEGATED_WORDS = 0.25
"""Share of words that stream negated, in a unit with sign flags."""
_SPREAD = 0.25
"""Standard deviation of the other activations, before taking absolute values, relative to the range."""
_ROWS, _OUTPUTS = 64, 64

_DATAFLOWS = {"column": "activation-stationary", "chain": "weight-stationary", "mac": "output-stationary"}


def typical_operands(datapath: Datapath) -> OperandSequences:
    """A small layer of random weights and rectified activations, as the unit sees it."""
    generator = np.random.default_rng(0)
    reduction = 2 * max(datapath.lanes, 8)
    layer = Layer.of_array(
        name="typical operands",
        operator="MatrixProduct",
        weights=np.zeros((_OUTPUTS, reduction), dtype=np.uint8),
        weight_type=UINT8,
        weight_zero_points=np.zeros(_OUTPUTS, dtype=np.int32),
        groups=1,
        m=_ROWS,
        lowering=MatrixProduct(),
        weights_tensor="weights",
    )
    operands = LayerOperands(
        layer=layer,
        datapath=datapath,
        weights=_uniform(datapath.weights, (_OUTPUTS, reduction), generator),
        activations=_rectified(datapath.activations, (1, _ROWS, reduction), generator),
    )
    array = Accelerator(
        name="typical",
        dataflow=_DATAFLOWS[datapath.kind],
        lanes=datapath.lanes,
        columns=4,
        forwarding="systolic" if datapath.traits.skewed else "broadcast",
    )
    segments = dataflow_of(array).segments(layer, array)
    if datapath.sign_flags:
        segments = tuple(replace(one, negated=generator.random(len(one.order)) < NEGATED_WORDS) for one in segments)
    return next(iter(dataflow_of(array).unit_parts(operands, segments, array, PART_CYCLES))).sequences


def _uniform(word: Word, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.unsignedinteger]:
    low, high = value_range(word.format.number_format, word.bits)
    return encode(generator.integers(low, high + 1, size=shape), word.format.number_format, word.bits)


def _rectified(word: Word, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.unsignedinteger]:
    _, high = value_range(word.format.number_format, word.bits)
    values = np.minimum(np.abs(generator.normal(0.0, _SPREAD * high, size=shape)), high).astype(np.int64)
    values[generator.random(shape) < ZERO_ACTIVATIONS] = 0
    return encode(values, word.format.number_format, word.bits)
