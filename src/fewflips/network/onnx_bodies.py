"""Products inside the bodies of If, Loop and Scan, which are not read as layers."""

from __future__ import annotations

from fewflips.network.graph import LeftOut
from fewflips.network.onnx_file import Node, inner_nodes
from fewflips.network.onnx_macs import multiplies

_QUANTIZED = ("QLinear", "QGemm", "ConvInteger", "MatMulInteger", "DequantizeLinear", "DynamicQuantize", "MatMulNBits")
"""How the names of operators begin that have quantized operands."""


def products_in_bodies(node: Node) -> list[LeftOut]:
    """Products inside an operator's bodies, and the bodies of what is in them.

    Parameters
    ----------
    node : Node
        An operator of the main graph.

    Returns
    -------
    list of LeftOut
        Their multiply-accumulate operations are not known: how often a body runs is decided at run time.
    """
    reason = f"it is inside the body of an operator {node.operator}, which is not read"
    return [LeftOut(inner.label, inner.operator, reason, None) for inner in inner_nodes(node) if multiplies(inner)]


def is_quantized_inside(node: Node) -> bool:
    """Whether the bodies of an operator hold quantized operators."""
    return any(inner.operator.startswith(_QUANTIZED) for inner in inner_nodes(node))
