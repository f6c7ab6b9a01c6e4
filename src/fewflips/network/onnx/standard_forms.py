"""Operators of ONNX Runtime's own, as standard ones of the same shape, for the shape inference of the onnx package."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from onnx import NodeProto, TensorProto, ValueInfoProto, helper

from fewflips.network.onnx.elements import MAX_ELEMENTS
from fewflips.network.onnx.nodes import Node

CONTRIB = "com.microsoft"
"""Domain of ONNX Runtime's own operators."""

UNKNOWN_DOMAIN = "fewflips.unknown"
"""Domain of stand-ins for operators of which no shape is inferred."""

Described = Mapping[str, tuple[tuple[int, ...] | None, int]]
"""Name of a constant or an input of the network -> its shape, where it is known, and its element type."""

_SAME_AS_FIRST: Mapping[str, tuple[int, ...]] = {
    "QLinearLeakyRelu": (0,),
    "QLinearSigmoid": (0,),
    "QLinearSoftmax": (0,),
    "Gelu": (0,),
    "FastGelu": (0,),
    "QuickGelu": (0,),
    "BiasGelu": (0,),
    "QuantizeLinear": (0,),
    "DequantizeLinear": (0,),
    "RotaryEmbedding": (0,),
    "SkipLayerNormalization": (0, 3),
    "SkipSimplifiedLayerNormalization": (0, 3),
}
"""Contrib operator -> which of its outputs have the shape of its first input."""

_STANDARD_FORM: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearMul": ("Mul", (0, 3)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "QGemm": ("Gemm", (0, 3)),
    "DynamicQuantizeMatMul": ("MatMul", (0, 1)),
    "EmbedLayerNormalization": ("Gather", (2, 0)),
}
"""Contrib operator -> standard operator of the same shape, and which inputs it reads."""

_OWN_IN_STANDARD_DOMAIN = frozenset(("SimplifiedLayerNormalization", "RMSNormalization", "RotaryEmbedding"))
"""Of the standard's domain, their first output of the shape of their first input."""


_RECURRENT: Mapping[tuple[str, str], str] = {
    ("", "LSTM"): "LSTM",
    ("", "GRU"): "GRU",
    ("", "RNN"): "RNN",
    (CONTRIB, "DynamicQuantizeLSTM"): "LSTM",
}
"""(Domain, operator) -> standard operator with the same outputs."""

_DIRECTIONS = ("forward", "reverse", "bidirectional")


@dataclass(frozen=True)
class StandardForm:
    """Nodes that take the place of one.

    Parameters
    ----------
    nodes : tuple of NodeProto
        In execution order; together they compute every output of the node.
    inputs : tuple of ValueInfoProto
        Operands of theirs that the network does not have, of which the shape alone is used.
    """

    nodes: tuple[NodeProto, ...]
    inputs: tuple[ValueInfoProto, ...] = ()


def standard_form(node: Node, described: Described) -> StandardForm | None:
    """Standard nodes whose outputs have the shapes of a node's.

    Parameters
    ----------
    node : Node
        One of ONNX Runtime's own.
    described : mapping
        Shapes and types of the constants and inputs of the network.

    Returns
    -------
    StandardForm or None
        None where there is none.
    """
    if node.has_subgraph or not any(node.outputs) or not node.input(0):
        return None
    if (node.domain, node.operator) in _RECURRENT:
        return _recurrent(node)
    if not node.outputs[0]:
        return None
    if node.domain == "":
        return _same_as_first(node, (0,)) if node.operator in _OWN_IN_STANDARD_DOMAIN else None
    if node.domain != CONTRIB:
        return None
    if node.operator in _SAME_AS_FIRST:
        return _same_as_first(node, _SAME_AS_FIRST[node.operator])
    if node.operator in _STANDARD_FORM and not node.integer("channels_last", 0):
        standard, positions = _STANDARD_FORM[node.operator]
        return _like(node, standard, [node.input(position) for position in positions])
    made = _MADE.get(node.operator)
    return None if made is None else made(node, described)


def stand_in(node: Node, outputs: Iterable[str]) -> NodeProto:
    """A node of which nothing is inferred, for some outputs of another."""
    present = [name for name in node.inputs if name]
    return helper.make_node("Unknown", present, list(outputs), name=f"n{node.index}", domain=UNKNOWN_DOMAIN)


def _completed(
    node: Node, nodes: Sequence[NodeProto], outputs: Sequence[str], inputs: Sequence[ValueInfoProto] = ()
) -> StandardForm:
    """The nodes that compute some outputs of a node, and a stand-in for the others."""
    others = [name for name in node.outputs if name and name not in outputs]
    return StandardForm((*nodes, *([stand_in(node, others)] if others else ())), tuple(inputs))


def _same_as_first(node: Node, positions: Sequence[int]) -> StandardForm:
    outputs = [node.outputs[position] for position in positions if node.outputs[position : position + 1]]
    named = [name for name in outputs if name]
    return _completed(node, [helper.make_node("Identity", [node.inputs[0]], [name]) for name in named], named)


def _like(node: Node, operator: str, inputs: Iterable[str]) -> StandardForm | None:
    names = list(inputs)
    if not all(names):
        return None
    result = helper.make_node(operator, names, [node.outputs[0]], name=node.label)
    if operator not in ("MatMul", "Gather"):
        result.attribute.extend(value for key, value in node.attributes.items() if key != "channels_last")
    return _completed(node, [result], [node.outputs[0]])


def _with_operand(
    node: Node, shape: tuple[int, ...], others: Sequence[str], operator: str, *, first: bool = False, axis: int = 0
) -> StandardForm | None:
    """A standard operator with an operand of a shape that the network has nowhere."""
    if not all(1 <= length <= MAX_ELEMENTS for length in shape):
        return None
    operand = helper.make_tensor_value_info(f"{UNKNOWN_DOMAIN}/{node.index}", TensorProto.FLOAT, shape)
    names = [operand.name, *others] if first else [*others, operand.name]
    result = helper.make_node(operator, names, [node.outputs[0]], name=node.label)
    if operator == "Gather":
        result.attribute.append(helper.make_attribute("axis", axis))
    return _completed(node, [result], [node.outputs[0]], [operand])


def _gathered(node: Node, described: Described) -> StandardForm | None:
    """Rows of a table whose codes may be packed along its last axis."""
    shape, element_type = described.get(node.inputs[0], (None, 0))
    bits, axis = node.integer("bits", 4), node.integer("gather_axis", 0)
    if not shape or not node.input(1) or bits not in (2, 4, 8):
        return None
    packed = 8 // bits if element_type == TensorProto.UINT8 else 1
    whole = (*shape[:-1], shape[-1] * packed)
    return _with_operand(node, whole, [node.inputs[1]], "Gather", first=True, axis=axis)


def _attended(node: Node, described: Described) -> StandardForm | None:
    """Queries, keys and values of one width come from one product; the output has the width of the values."""
    shape, _ = described.get(node.input(1), (None, 0))
    if shape is None or len(shape) != 2 or shape[1] % 3:
        return None
    return _with_operand(node, (shape[0], shape[1] // 3), [node.inputs[0]], "MatMul")


def _to_floats(node: Node, described: Described) -> StandardForm | None:
    if not node.input(1):
        return None
    product = f"{UNKNOWN_DOMAIN}/{node.index}"
    nodes = [
        helper.make_node("MatMul", [node.inputs[0], node.inputs[1]], [product], name=node.label),
        helper.make_node("Cast", [product], [node.outputs[0]], to=TensorProto.FLOAT),
    ]
    return _completed(node, nodes, [node.outputs[0]])


def _packed_product(node: Node, described: Described) -> StandardForm | None:
    return _with_operand(node, (node.integer("K", 0), node.integer("N", 0)), [node.inputs[0]], "MatMul")


def _concatenated(node: Node, described: Described) -> StandardForm | None:
    return _like(node, "Concat", node.inputs[2::3])


def _grouped_queries(node: Node, described: Described) -> StandardForm | None:
    """The output is as wide as the queries; these may come with keys and values, of heads as wide as earlier keys."""
    if node.input(1):
        return _same_as_first(node, (0,))
    earlier, _ = described.get(node.input(3), (None, 0))
    heads, shared = node.integer("num_heads", 0), node.integer("kv_num_heads", 0)
    if earlier is None or len(earlier) != 4 or heads < 1 or shared < 1:
        return None
    return _with_operand(node, ((heads + 2 * shared) * earlier[3], heads * earlier[3]), [node.inputs[0]], "MatMul")


def _recurrent(node: Node) -> StandardForm | None:
    """Shapes of the outputs follow from the input, the width of the state, and the direction."""
    operator = _RECURRENT[node.domain, node.operator]
    outputs = [*node.outputs, "", ""][: 3 if operator == "LSTM" else 2]
    hidden, layout = node.integer("hidden_size", 0), node.integer("layout", 0)
    direction = node.text("direction", "forward")
    if not 1 <= hidden <= MAX_ELEMENTS or layout or direction not in _DIRECTIONS:
        return None
    names = [node.inputs[0]] * 3
    result = helper.make_node(operator, names, outputs, node.label, hidden_size=hidden, direction=direction)
    return _completed(node, [result], outputs)


_MADE: Mapping[str, Callable[[Node, Described], StandardForm | None]] = {
    "GatherBlockQuantized": _gathered,
    "GroupQueryAttention": _grouped_queries,
    "MatMulIntegerToFloat": _to_floats,
    "MatMulNBits": _packed_product,
    "QAttention": _attended,
    "QLinearConcat": _concatenated,
}
"""Contrib operator -> how its form is made."""
