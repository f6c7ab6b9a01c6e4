"""Weights of DynamicQuantizeLSTM: those of the input and those of the state, of each direction.

Source of the format: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md, DynamicQuantizeLSTM.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewflips.network.onnx.constants import Constants, IntegerWeights
from fewflips.network.onnx.errors import PassedOver, UnfitOperator
from fewflips.network.onnx.matrices import OnnxMatrix, PartOfArray
from fewflips.network.onnx.nodes import Node
from fewflips.network.operand import ConstantOperand
from fewflips.network.quantization_values import QuantizationValues

_GATES = 4

_OPERANDS = (("input", 1, 8, 9), ("state", 2, 10, 11))
"""What each product multiplies, and where its weights, their scales and their zero points are."""


@dataclass(frozen=True)
class RecurrentWeights:
    """The weights of one product.

    Parameters
    ----------
    what : str
        What they multiply: "input", "state", and in which direction where there are two.
    operand : ConstantOperand
        A row for each gate of each element of the state.
    """

    what: str
    operand: ConstantOperand


def recurrent_weights(node: Node, constants: Constants, width: int) -> Iterator[RecurrentWeights]:
    """The weights of a DynamicQuantizeLSTM.

    Parameters
    ----------
    node : Node
        The operator.
    constants : Constants
        The constant part of the graph.
    width : int
        Elements of its input at one step.

    Yields
    ------
    RecurrentWeights
        Those of the input and those of the state; twice where it runs in both directions.

    Raises
    ------
    PassedOver
        If they cannot be read.
    UnfitOperator
        If attributes and constants do not fit each other.
    """
    hidden = node.integer("hidden_size", 0)
    directions = 2 if node.text("direction", "forward") == "bidirectional" else 1
    for what, position, scale, zero_point in _OPERANDS:
        weights = _weights(node, constants, position)
        expected = (directions, width if what == "input" else hidden, _GATES * hidden)
        if weights.shape != expected or 0 in expected:
            raise UnfitOperator(
                f"expected weights of its {what} of shape {list(expected)}, got shape {list(weights.shape)}"
            )
        zeros = constants.array(node.input(zero_point))
        if zeros is None:
            raise PassedOver("the zero points of its weights are not constants")
        scales = constants.scales(node.input(scale))
        for direction in range(directions):
            parameters = _of_direction(zeros.astype(np.int32), expected, direction, "zero points")
            yield RecurrentWeights(
                what if directions == 1 else f"{what}, {('forward', 'backward')[direction]}",
                ConstantOperand(
                    name=weights.tensor,
                    shape=(expected[2], expected[1]),
                    storage=weights.storage,
                    zero_points=parameters,
                    source=OnnxMatrix(PartOfArray(weights.source, direction), (1, 0)),
                    scales=None if scales is None else _of_direction(scales, expected, direction, "scales"),
                ),
            )


def _weights(node: Node, constants: Constants, position: int) -> IntegerWeights:
    weights = constants.integer_weights(node.input(position))
    if weights is None or weights.order != (0, 1, 2):
        raise PassedOver("its weights are not constants of 3 axes and at most 8 bits")
    return weights


def _of_direction(values: NDArray[np.generic], shape: tuple[int, ...], direction: int, what: str) -> QuantizationValues:
    """One value for all weights of a direction, or one for each gate of each element of the state."""
    directions, _, rows = shape
    if values.size not in (directions, directions * rows):
        raise UnfitOperator(
            f"expected {directions} or {directions} x {rows} {what} of its weights, got shape {list(values.shape)}"
        )
    return QuantizationValues.per_channel(values.reshape(directions, -1)[direction])
