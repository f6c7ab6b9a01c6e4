"""Products inside the bodies of If, Loop and Scan, and of functions: what is not read as layers."""

from __future__ import annotations

from onnx import ModelProto

from fewflips.network.graph import LeftOut
from fewflips.network.onnx.macs import multiplies
from fewflips.network.onnx.nodes import Node, inner_nodes, nodes_of

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


def products_in_function(node: Node, model: ModelProto) -> list[LeftOut]:
    """Products inside a function of the model that is not inlined, where an operator is the call of one.

    Parameters
    ----------
    node : Node
        An operator of the main graph.
    model : ModelProto
        Its model.

    Returns
    -------
    list of LeftOut
        Empty where the operator is no such call, or multiplies nothing.
    """
    bodies = (body for body in model.functions if (body.domain, body.name) == (node.domain, node.operator))
    found = (inner for body in bodies for inner in nodes_of(node.index, body.node))
    reason = f"it is inside the function {node.operator}, which is not inlined"
    return [LeftOut(inner.label, inner.operator, reason, None) for inner in found if multiplies(inner)]


def is_function(node: Node, model: ModelProto) -> bool:
    """Whether an operator is the call of a function of the model."""
    return any((body.domain, body.name) == (node.domain, node.operator) for body in model.functions)


def is_quantized_inside(node: Node) -> bool:
    """Whether the bodies of an operator hold quantized operators."""
    return any(inner.operator.startswith(_QUANTIZED) for inner in inner_nodes(node))
