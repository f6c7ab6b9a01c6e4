"""Multiply-accumulate operations of TFLite's operators, those among them that are not read as layers.

What padding adds is counted, as it is for layers. Elementwise products, normalizations and poolings are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from fewflips.network.tflite.file import FileOperator, FileTensor, TFLiteFile

_Count = Callable[["_Operands"], int]

_NO_PRODUCTS = frozenset(("CUSTOM TFLite_Detection_PostProcess",))
"""Custom operators of which it is known that they multiply no matrices."""

_LARGEST = 2**62


class _NotKnown(Exception):
    """A number that does not follow from the shapes."""


def multiplies(op: FileOperator) -> bool:
    """Whether an operator computes matrix products, convolutions or the like, or may do so.

    Custom operators may compute anything, and control flow whatever the subgraphs do that it runs.
    """
    return op.operator in _MACS or op.operator in SUBGRAPH_CALLS or is_custom(op)


def is_custom(op: FileOperator) -> bool:
    """Whether what an operator computes is not known."""
    return op.operator.startswith(("CUSTOM", "operator code")) and op.operator not in _NO_PRODUCTS


def macs(op: FileOperator, file: TFLiteFile) -> int | None:
    """Multiply-accumulate operations of an operator in one inference.

    Parameters
    ----------
    op : FileOperator
        One for which :func:`multiplies` holds.
    file : TFLiteFile
        Its file.

    Returns
    -------
    int or None
        None where they do not follow from the shapes, or the operator is not known.
    """
    count = _MACS.get(op.operator)
    if count is None:
        return None
    try:
        found = count(_Operands(op, file))
    except (_NotKnown, IndexError, ZeroDivisionError):
        return None
    return found if 0 <= found <= _LARGEST else None


class _Operands:
    def __init__(self, op: FileOperator, file: TFLiteFile) -> None:
        self._op = op
        self._file = file

    def shape(self, position: int) -> tuple[int, ...]:
        """Shape of an input."""
        index = self._op.inputs[position]
        if index < 0:
            raise _NotKnown
        return self._file.tensors[index].shape

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of the first output."""
        return self._file.tensors[self._op.outputs[0]].shape

    @property
    def matrices(self) -> list[FileTensor]:
        """Constants with two axes."""
        present = (self._file.tensors[index] for index in self._op.inputs if index >= 0)
        return [tensor for tensor in present if tensor.is_constant and len(tensor.shape) == 2]


def _convolution(operands: _Operands) -> int:
    """Every output takes one product for each weight of its channel, which are along the first axis."""
    return prod(operands.output) * prod(operands.shape(1)[1:])


def _depthwise(operands: _Operands) -> int:
    return prod(operands.output) * prod(operands.shape(1)[1:3])


def _convolution_3d(operands: _Operands) -> int:
    return prod(operands.output) * prod(operands.shape(1)[:4])


def _transposed_convolution(operands: _Operands) -> int:
    """Every input is multiplied with each weight of its channel, which are along the last axis."""
    return prod(operands.shape(2)) * prod(operands.shape(1)[:-1])


def _batch_product(operands: _Operands) -> int:
    """Whichever operand is transposed, the first one is an M x K matrix and the output an M x N one."""
    source, output = operands.shape(0), operands.output
    return prod(output) * (source[-2] * source[-1] // output[-2])


def _recurrent(operands: _Operands) -> int:
    """Every step of every sequence takes all weights: those that are matrices."""
    source, matrices = operands.shape(0), operands.matrices
    if not matrices:
        raise _NotKnown
    return prod(source[:-1]) * sum(tensor.elements for tensor in matrices)


def _unknown(operands: _Operands) -> int:
    raise _NotKnown


_MACS: Mapping[str, _Count] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": lambda operands: prod(operands.output) * operands.shape(1)[-1],
    "TRANSPOSE_CONV": _transposed_convolution,
    "CONV_3D": _convolution_3d,
    "CONV_3D_TRANSPOSE": _transposed_convolution,
    "BATCH_MATMUL": _batch_product,
    "LSTM": _recurrent,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _recurrent,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _recurrent,
    "RNN": _recurrent,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _recurrent,
    "BIDIRECTIONAL_SEQUENCE_RNN": _recurrent,
    "STABLEHLO_CONVOLUTION": _unknown,
    "STABLEHLO_DOT_GENERAL": _unknown,
}
"""Operator -> its multiply-accumulate operations, where they follow from shapes."""

SUBGRAPH_CALLS = frozenset(("IF", "WHILE", "CALL", "STABLEHLO_COMPOSITE", "STABLEHLO_WHILE", "STABLEHLO_CASE"))
"""Operators that run other subgraphs of the file."""
