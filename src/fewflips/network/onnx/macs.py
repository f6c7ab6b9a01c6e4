"""Multiply-accumulate operations of ONNX's operators, those among them that are not read as layers.

What pads add is counted, as it is for layers. Elementwise products, normalizations and poolings are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

import numpy as np

from fewflips.errors import ModelError
from fewflips.network.onnx.elements import MAX_ELEMENTS
from fewflips.network.onnx.nodes import Node
from fewflips.network.onnx.shapes import Value
from fewflips.network.onnx.standard_forms import CONTRIB

_Shape = tuple[int, ...]


class _NotKnown(Exception):
    """A number that does not follow from the shapes."""


_Count = Callable[[Node, "_Shapes"], int]


def multiplies(node: Node) -> bool:
    """Whether an operator computes matrix products, convolutions or the like, or may do so.

    Operators of domains that are neither the standard's nor ONNX Runtime's may compute anything.
    """
    return (node.domain, node.operator) in _MACS or is_foreign(node)


def is_foreign(node: Node) -> bool:
    """Whether what an operator computes is not known."""
    return node.domain not in ("", CONTRIB)


def looks_up(node: Node) -> bool:
    """Whether an operator reads rows of a table of integers."""
    return (node.domain, node.operator) == (CONTRIB, "GatherBlockQuantized")


def weights_of(node: Node) -> str:
    """Name of the operand that holds an operator's weights, where it has any; empty where it is left out."""
    position = _WEIGHTS.get((node.domain, node.operator), 1)
    return node.input(position)


def macs(node: Node, values: Mapping[str, Value]) -> int | None:
    """Multiply-accumulate operations of an operator in one inference.

    Parameters
    ----------
    node : Node
        One for which :func:`multiplies` holds.
    values : mapping of str to Value
        Shapes of all tensors.

    Returns
    -------
    int or None
        None where the shapes that it takes are not known or do not fit, or the operator is not known.
    """
    return _counted(_MACS.get((node.domain, node.operator)), node, values)


def macs_of_scores(node: Node, values: Mapping[str, Value]) -> int | None:
    """Those of a QAttention without its weights: scores, and values weighted by them.

    Parameters
    ----------
    node : Node
        The operator.
    values : mapping of str to Value
        Shapes of all tensors.

    Returns
    -------
    int or None
        None where they are not known, as with keys and values of earlier calls.
    """
    return _counted(_own_scores, node, values)


def _counted(count: _Count | None, node: Node, values: Mapping[str, Value]) -> int | None:
    if count is None:
        return None
    try:
        found = count(node, _Shapes(values))
    except (_NotKnown, IndexError, ValueError, ZeroDivisionError, ModelError):
        return None
    return found if 0 <= found <= MAX_ELEMENTS**2 else None


class _Shapes:
    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def of(self, name: str) -> _Shape:
        value = self._values.get(name)
        if not name or value is None or value.shape is None:
            raise _NotKnown
        return value.shape


def _convolution(weights: int) -> _Count:
    """Every output takes one product for each weight of its channel."""

    def count(node: Node, shapes: _Shapes) -> int:
        return prod(shapes.of(node.outputs[0])) * prod(shapes.of(node.input(weights))[1:])

    return count


def _transposed_convolution(weights: int) -> _Count:
    """Every input is multiplied with each weight of its channel."""

    def count(node: Node, shapes: _Shapes) -> int:
        return prod(shapes.of(node.input(0))) * prod(shapes.of(node.input(weights))[1:])

    return count


def _matrix_product(second: int) -> _Count:
    def count(node: Node, shapes: _Shapes) -> int:
        if node.integer("transBatchA", 0) or node.integer("transBatchB", 0):
            raise _NotKnown
        left, right = shapes.of(node.input(0)), shapes.of(node.input(second))
        left = (1, *left) if len(left) == 1 else left
        right = (*right, 1) if len(right) == 1 else right
        m, k = (left[-1], left[-2]) if node.integer("transA", 0) else (left[-2], left[-1])
        n = right[-2] if node.integer("transB", 0) else right[-1]
        return prod(np.broadcast_shapes(left[:-2], right[:-2])) * m * k * n

    return count


def _recurrent(node: Node, shapes: _Shapes) -> int:
    """Weights of the input and of the state, in both directions, for every step of every sequence."""
    steps = prod(shapes.of(node.input(0))[:-1])
    return steps * (prod(shapes.of(node.input(1))) + prod(shapes.of(node.input(2))))


def _packed_product(node: Node, shapes: _Shapes) -> int:
    return prod(shapes.of(node.input(0))[:-1]) * node.integer("K", 0) * node.integer("N", 0)


def _einsum(node: Node, shapes: _Shapes) -> int:
    """Two operands: one product for each combination of indices."""
    operands = node.text("equation", "").replace(" ", "").partition("->")[0].split(",")
    if len(operands) != 2 or not all(operand.isalpha() for operand in operands):
        raise _NotKnown
    lengths: dict[str, int] = {}
    for operand, name in zip(operands, node.inputs, strict=True):
        for index, length in zip(operand, shapes.of(name), strict=True):
            lengths[index] = max(lengths.get(index, 1), length)
    return prod(lengths.values())


def _own_scores(node: Node, shapes: _Shapes) -> int:
    """Queries, keys and values that come from one product: all pairs of positions, once for scores and once after."""
    batch, length, _ = shapes.of(node.input(0))
    if node.input(8 if node.operator == "QAttention" else 4):
        raise _NotKnown
    return 2 * batch * length**2 * (shapes.of(node.input(1))[1] // 3)


def _attention_with_weights(node: Node, shapes: _Shapes) -> int:
    if "qkv_hidden_sizes" in node.attributes:
        raise _NotKnown
    return prod(shapes.of(node.input(0))[:2]) * prod(shapes.of(node.input(1))) + _own_scores(node, shapes)


def _attention_of_three(past: int) -> _Count:
    """Queries, keys and values as three operands of 3 axes; `past` is the position of the first earlier ones."""

    def count(node: Node, shapes: _Shapes) -> int:
        if node.input(past):
            raise _NotKnown
        (batch, length, width), keys, values = (shapes.of(node.input(position)) for position in range(3))
        heads = node.integer("q_num_heads", 1) // node.integer("kv_num_heads", 1)
        if not heads or len(keys) != 3 or len(values) != 3:
            raise _NotKnown
        return batch * length * keys[1] * (width + heads * values[2])

    return count


def _grouped_queries(node: Node, shapes: _Shapes) -> int:
    """Queries, and keys and values that several heads share, without earlier ones: all pairs of positions, twice."""
    batch, length, width = shapes.of(node.input(0))
    if node.input(3):
        raise _NotKnown
    heads, shared = node.integer("num_heads", 0), node.integer("kv_num_heads", 0)
    queries = width if node.input(1) else width * heads // (heads + 2 * shared)
    return 2 * batch * length**2 * queries


def _unknown(node: Node, shapes: _Shapes) -> int:
    raise _NotKnown


_MACS: Mapping[tuple[str, str], _Count] = {
    ("", "Conv"): _convolution(1),
    ("", "ConvInteger"): _convolution(1),
    ("", "QLinearConv"): _convolution(3),
    ("", "DeformConv"): _convolution(1),
    ("", "ConvTranspose"): _transposed_convolution(1),
    ("", "MatMul"): _matrix_product(1),
    ("", "Gemm"): _matrix_product(1),
    ("", "MatMulInteger"): _matrix_product(1),
    ("", "QLinearMatMul"): _matrix_product(3),
    ("", "Einsum"): _einsum,
    ("", "LSTM"): _recurrent,
    ("", "GRU"): _recurrent,
    ("", "RNN"): _recurrent,
    ("", "Attention"): _attention_of_three(4),
    (CONTRIB, "Attention"): _attention_with_weights,
    (CONTRIB, "QAttention"): _attention_with_weights,
    (CONTRIB, "GroupQueryAttention"): _grouped_queries,
    (CONTRIB, "MultiHeadAttention"): _attention_of_three(6),
    (CONTRIB, "QGemm"): _matrix_product(3),
    (CONTRIB, "FusedConv"): _convolution(1),
    (CONTRIB, "NhwcFusedConv"): _unknown,
    (CONTRIB, "QLinearConvTranspose"): _transposed_convolution(3),
    (CONTRIB, "ConvTransposeWithDynamicPads"): _transposed_convolution(1),
    (CONTRIB, "FusedGemm"): _matrix_product(1),
    (CONTRIB, "FusedMatMul"): _matrix_product(1),
    (CONTRIB, "TransposeMatMul"): _matrix_product(1),
    (CONTRIB, "FusedMatMulActivation"): _matrix_product(1),
    (CONTRIB, "GemmFastGelu"): _matrix_product(1),
    (CONTRIB, "MatMulInteger16"): _matrix_product(1),
    (CONTRIB, "MatMulIntegerToFloat"): _matrix_product(1),
    (CONTRIB, "DynamicQuantizeMatMul"): _matrix_product(1),
    (CONTRIB, "MatMulNBits"): _packed_product,
    (CONTRIB, "MatMulBnb4"): _packed_product,
    (CONTRIB, "DynamicQuantizeLSTM"): _recurrent,
    **{
        (CONTRIB, operator): _unknown
        for operator in (
            "AttnLSTM",
            "DecoderAttention",
            "DecoderMaskedMultiHeadAttention",
            "DecoderMaskedSelfAttention",
            "GatedRelativePositionBias",
            "GemmFloat8",
            "LongformerAttention",
            "MatMulFpQ4",
            "MoE",
            "PackedAttention",
            "PackedMultiHeadAttention",
            "PagedAttention",
            "QMoE",
            "QOrderedAttention",
            "QOrderedLongformerAttention",
            "QOrderedMatMul",
            "SparseAttention",
            "SparseToDenseMatMul",
            "WordConvEmbedding",
        )
    },
}
"""(Domain, operator) -> its multiply-accumulate operations, where they follow from shapes."""

_WEIGHTS: Mapping[tuple[str, str], int] = {
    ("", "QLinearConv"): 3,
    ("", "QLinearMatMul"): 3,
    (CONTRIB, "QGemm"): 3,
    (CONTRIB, "QLinearConvTranspose"): 3,
}
"""(Domain, operator) -> position of its weights, where it is not 1."""
