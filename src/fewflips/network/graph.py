"""A network as data: its layers, and how channels travel between its operators.

Readers (``tflite``, ``onnx``) translate a file into this form; everything after them is independent of the
file format. Only what the project needs is kept: the integer products, and, for moving channels, which axis
of which tensor an operator ties to which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from fewflips.network.layer import Layer
from fewflips.network.product import Product


@dataclass(frozen=True)
class Tensor:
    """An activation tensor or a constant.

    Parameters
    ----------
    name : str
        Unique within the network.
    shape : tuple of int
        Batch resolved to the file's own (1 where it is symbolic).
    channel_axis : int or None
        The axis that holds channels (activations only): the last in TFLite; 1 in ONNX, or the last where a
        tensor feeds a matrix product. None where there is none.
    block_axis : int or None
        The axis that holds blocks of channels, where they have one of their own: heads. `channel_axis` is then that of
        the channels within each, or the same where only blocks are left.
    is_constant : bool
        Whether the file holds its values.
    """

    name: str
    shape: tuple[int, ...]
    channel_axis: int | None
    is_constant: bool = False
    block_axis: int | None = None


class OperationKind(StrEnum):
    """What an operator does to the channel axis."""

    PRODUCT = "product"
    """Convolution (groups = 1), fully connected, matrix product: mixes input channels into new ones."""
    CHANNELWISE = "channelwise"
    """Output channel c depends on channel c of every input alone: depthwise convolution (multiplier 1),
    elementwise arithmetic, activation functions, quantize / dequantize, pooling, padding and resizing in space."""
    CONCATENATION = "concatenation"
    """Joins its inputs along the channel axis."""
    RESHAPE = "reshape"
    """Same elements, same order, another shape (reshape, flatten, squeeze, expand dims)."""
    SPLIT = "split"
    """Turns the channel axis into two, blocks of channels (the heads of an attention) and the channels of each."""
    CONTRACTION = "contraction"
    """Multiplies two activations along their channels, so that only their blocks are left: attention's scores."""
    MIXTURE = "mixture"
    """Rows that are mixtures of its second input's: the first input has its blocks, the output all of its channels."""
    SECTIONS = "sections"
    """Cuts the channel axis into its outputs, side by side."""
    REDUCTION = "reduction"
    """Sums over channels, or the like: its output has none, and they may stand in any order."""
    OPAQUE = "opaque"
    """Anything else: the channels of its inputs and outputs must stay where they are."""


@dataclass(frozen=True)
class ConstantAxis:
    """An axis of a constant that must move with the channels of an operator's input or output.

    Parameters
    ----------
    tensor : str
        The constant.
    axis : int
        Its axis.
    follows : {"input", "output"}
        The channels of the operator's first activation input, or of its first output. Axes of length 1
        (broadcast) are not listed.
    block : int
        Channels that share an entry: more than 1 where scales belong to blocks, or an entry to a whole head. Channels
        then move within their blocks, and blocks as a whole.
    """

    tensor: str
    axis: int
    follows: Literal["input", "output"]
    block: int = 1


@dataclass(frozen=True)
class Operation:
    """One operator.

    Parameters
    ----------
    name : str
        Name for messages.
    operator : str
        The file's own operator.
    kind : OperationKind
        What it does to channels.
    inputs, outputs : tuple of str
        Activation tensors only.
    constant_axes : tuple of ConstantAxis
        Constants that move with channels: weights, biases, per-channel scales and zero points that are
        tensors of their own, per-channel operands of elementwise operators.
    adds_floats : bool
        Whether it adds floats over the channels of its inputs, so that its result is rounded by their order.
    """

    name: str
    operator: str
    kind: OperationKind
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constant_axes: tuple[ConstantAxis, ...] = ()
    adds_floats: bool = False


@dataclass(frozen=True)
class LeftOut:
    """An operator that multiplies, or may, and is not among a network's layers.

    Parameters
    ----------
    name : str
        Its name, as layers have theirs.
    operator : str
        The file's own operator.
    reason : str
        Why it is left out, without a subject: "it multiplies two activations".
    macs : int or None
        Multiply-accumulate operations of one inference; None where they are not known.
    product : Product or None
        The product of two activations that are integers in the file: it can be counted with sample inputs.
    """

    name: str
    operator: str
    reason: str
    macs: int | None
    product: Product | None = None


@dataclass(frozen=True, eq=False)
class Network:
    """A quantized network.

    Parameters
    ----------
    path : Path
        The file that it was read from.
    file_format : str
        The name of its reader: ``tflite``, ``onnx``, or that of a registered one.
    sha256 : str
        Hexadecimal digest of the file.
    layers : tuple of Layer
        The integer products in execution order.
    tensors : mapping of str to Tensor
        Every tensor that an operation names.
    operations : tuple of Operation
        All operators, in execution order.
    inputs, outputs : tuple of str
        The network's own inputs and outputs.
    notes : tuple of str
        What was passed over while reading, like remarks in one sentence.
    left_out : tuple of LeftOut
        Products that are not among the layers, in execution order.
    tokens : int or None
        Tokens that are processed at once, where the file has no graph that would say it
        (:func:`fewflips.network.tokens.with_tokens`).
    """

    path: Path
    file_format: str
    sha256: str
    layers: tuple[Layer, ...]
    tensors: Mapping[str, Tensor]
    operations: tuple[Operation, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    tokens: int | None = None
