"""How many elements the lists of lengths in an ONNX graph have, at most, before their values are known.

The onnx package gives the result of a Reshape, Expand or ConstantOfShape one axis for each element of the lengths,
however many the file claims: 16 bytes of a damaged file take all memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from fewflips.network.onnx.file import OnnxFile
from fewflips.network.onnx.nodes import Node

_MOST_AXES = 64
_MOST_LENGTHS = 1024

_LENGTHS: Mapping[str, int] = {"Reshape": 1, "Expand": 1, "ConstantOfShape": 0, "Tile": 1}
"""Operator -> position of its lengths."""

_SAME = frozenset(("Cast", "Identity", "Abs", "Neg", "Floor", "Ceil", "Not", "Slice", "Squeeze"))
_SINGLE = frozenset(("Unsqueeze", "Reshape", "ReduceProd"))
_ELEMENTWISE = frozenset(
    (
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Min",
        "Max",
        "Equal",
        "Less",
        "LessOrEqual",
        "Greater",
        "GreaterOrEqual",
        "And",
        "Or",
        "Where",
    )
)


def unbounded_lengths(file: OnnxFile, computed: Mapping[str, NDArray[Any]]) -> frozenset[int]:
    """Operators whose result may have any number of axes, as far as is known.

    Parameters
    ----------
    file : OnnxFile
        The file.
    computed : mapping of str to ndarray
        Values that are known.

    Returns
    -------
    frozenset of int
        Indices of Reshape, Expand, ConstantOfShape and Tile whose lengths are not bounded.
    """
    bounds = {name: value.size for name, value in computed.items()}
    bounds |= {name: constant.size for name, constant in file.constants.items() if len(constant.shape) <= 1}
    found = set()
    for node in file.nodes:
        if node.domain == "" and node.operator in _LENGTHS:
            lengths = bounds.get(node.input(_LENGTHS[node.operator]))
            if lengths is None or lengths > _MOST_LENGTHS:
                found.add(node.index)
        bound = _bound(node, bounds)
        if bound is not None and node.outputs[0] not in bounds:
            bounds[node.outputs[0]] = bound
    return frozenset(found)


def _bound(node: Node, bounds: Mapping[str, int]) -> int | None:
    """Most elements of a list that a node computes; None where it is none, or may have any number."""
    if node.domain != "" or len(node.outputs) != 1:
        return None
    if node.operator == "Shape":
        return _MOST_AXES
    if node.operator == "Size":
        return 1
    operands = [bounds.get(name) for name in node.inputs]
    known = [bound for bound in operands if bound is not None]
    if not known or operands[0] is None:
        return None
    if node.operator in _SAME:
        return known[0]
    if node.operator in _SINGLE:
        return 1 if known[0] == 1 else None
    if len(known) < len(operands):
        return None
    if node.operator == "Gather":
        return known[-1]
    if node.operator == "Concat":
        return sum(known)
    return max(known) if node.operator in _ELEMENTWISE else None
