"""Weights of MatMulNBits, a product of ONNX Runtime's own: codes of few bits, packed in blocks along K.

Source of the format: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md, MatMulNBits. Element
(n, k) is worth ``(code - zero point) * scale``, with zero point and scale of row n and block ``k // block_size``, or of
the block that ``g_idx`` gives for k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from fewflips.formats.number_formats import StorageType
from fewflips.network.onnx.constants import Constants
from fewflips.network.onnx.elements import MAX_ELEMENTS, pack, unpack
from fewflips.network.onnx.errors import PassedOver, UnfitOperator
from fewflips.network.onnx.file import OnnxFile
from fewflips.network.onnx.matrices import StoredArray
from fewflips.network.onnx.nodes import Node
from fewflips.network.onnx.standard_forms import CONTRIB
from fewflips.network.operand import ConstantOperand, Matrix
from fewflips.network.quantization_values import QuantizationValues

_CODES, _SCALES, _ZERO_POINTS, _GROUPS = 1, 2, 3, 4
"""Positions of the inputs."""

_READ_BITS = (2, 4, 8)
_SMALLEST_BLOCK = 16
_LARGEST_ZERO_POINT = 2**15


@dataclass(frozen=True)
class PackedBlocks:
    """Codes in blocks along K, several to a byte, the first in the lowest bits; the last block of a row is filled up.

    Parameters
    ----------
    packed : StoredArray
        Their bytes, of any shape.
    bits : int
        Width of a code: 2, 4 or 8.
    shape : (int, int)
        N and K.
    """

    packed: StoredArray
    bits: int
    shape: tuple[int, int]

    def __call__(self) -> Matrix:
        """Read the codes.

        Returns
        -------
        ndarray of uint8, shape (N, K)
            Not to be written to.
        """
        n, k = self.shape
        content = self.packed().reshape(-1)
        rows = unpack(content, self.bits, content.size * 8 // self.bits).reshape(n, -1)
        matrix = np.ascontiguousarray(rows[:, :k])
        matrix.setflags(write=False)
        return matrix


class ShuffledBlocks(QuantizationValues):
    """Values of blocks along K that each index of K takes from a block of its own; spread when they are asked for.

    Parameters
    ----------
    blocks : ndarray of any number type, shape (N, blocks)
        The values.
    groups : ndarray of int64, shape (K,)
        Block of each index.
    """

    _blocks: NDArray[Any]
    _groups: NDArray[np.int64]

    def __init__(self, blocks: NDArray[Any], groups: NDArray[np.int64]) -> None:
        for name, value in (("block_axis", None), ("block", 1), ("_blocks", blocks), ("_groups", groups)):
            object.__setattr__(self, name, value)  # of a frozen class

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape {self.stored_shape})"

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of the values: N and K."""
        return len(self._blocks), len(self._groups)

    @property
    def values(self) -> NDArray[Any]:
        """One value for each weight, an ndarray of shape (N, K), made anew each time."""
        spread: NDArray[Any] = self._blocks[:, self._groups]
        return spread

    def groups_along(self, axis: int, shape: Sequence[int]) -> NDArray[np.int64]:
        """See QuantizationValues: which indices have the same values."""
        if axis != 1:
            return super().groups_along(axis, shape)
        _, group = np.unique(self._blocks, axis=1, return_inverse=True)
        return group.reshape(-1).astype(np.int64)[self._groups]


@dataclass(frozen=True)
class BlockWeights:
    """The weights of a MatMulNBits.

    Parameters
    ----------
    operand : ConstantOperand
        Codes as stored, with the scales and zero points of their blocks.
    rounded : bool
        Whether zero points are fractions in the file, and the nearest integers here.
    block : int
        How many inputs share a scale.
    """

    operand: ConstantOperand
    rounded: bool
    block: int


@dataclass(frozen=True)
class _Layout:
    n: int
    k: int
    bits: int
    block: int

    @property
    def blocks(self) -> int:
        """Blocks of a row."""
        return -(-self.k // self.block)


@dataclass(frozen=True)
class PackedConstant:
    """A constant of packed codes, as the matrix that it stands for.

    Parameters
    ----------
    shape : (int, int)
        N and K.
    bits : int
        Width of a code.
    """

    shape: tuple[int, int]
    bits: int

    def moved(self, content: bytes, axes: Mapping[int, NDArray[np.integer]]) -> bytes:
        """The bytes of the constant with the axes of its matrix in another order.

        Parameters
        ----------
        content : bytes
            Its bytes.
        axes : mapping of int to ndarray of int
            Axis of the matrix -> permutation: ``new = old.take(p, axis)``.
        """
        codes = unpack(np.frombuffer(content, dtype=np.uint8), self.bits, prod(self.shape)).reshape(self.shape)
        for axis, permutation in axes.items():
            codes = codes.take(permutation, axis)
        return pack(codes, self.bits).tobytes()


def packed_constants(file: OnnxFile) -> dict[str, PackedConstant]:
    """Constants that hold the codes of MatMulNBits alone, in blocks that none of is filled up.

    Parameters
    ----------
    file : OnnxFile
        The decoded file.

    Returns
    -------
    dict of str to PackedConstant
        By name; one that has another use, or is read as matrices of different shapes, is left out.
    """
    found: dict[str, set[PackedConstant | None]] = {}
    for node in file.nodes:
        for position, name in enumerate(node.inputs):
            if name in file.constants:
                own = position == _CODES and (node.domain, node.operator) == (CONTRIB, "MatMulNBits")
                found.setdefault(name, set()).add(_packed_constant(node, file) if own else None)
    for name in file.outputs:
        found.pop(name, None)
    return {name: kept for name, (kept, *others) in found.items() if kept is not None and not others}


def _packed_constant(node: Node, file: OnnxFile) -> PackedConstant | None:
    constant = file.constants[node.inputs[_CODES]]
    n, k, bits, block = (node.integer(*given) for given in (("N", 0), ("K", 0), ("bits", 4), ("block_size", 0)))
    whole = min(n, k, block) > 0 and bits in _READ_BITS and k % block == 0 and constant.size * 8 == n * k * bits
    held = constant.tensor is not None and constant.element_type == TensorProto.UINT8
    return PackedConstant((n, k), bits) if whole and held else None


def block_weights(node: Node, constants: Constants) -> BlockWeights:
    """The weights of a MatMulNBits.

    Parameters
    ----------
    node : Node
        The operator.
    constants : Constants
        The constant part of the graph.

    Returns
    -------
    BlockWeights
        Codes stay in the file until they are asked for; scales and zero points are read.

    Raises
    ------
    PassedOver
        If they cannot be read.
    UnfitOperator
        If attributes and constants do not fit each other.
    """
    layout = _layout(node)
    packed = constants.stored(node.input(_CODES))
    if packed is None:
        raise PassedOver("its weights are not a constant of the file")
    if packed.element_type != TensorProto.UINT8:
        raise UnfitOperator(f"expected weights packed as uint8, got element type {packed.element_type}")
    expected = layout.n * layout.blocks * (layout.block * layout.bits // 8)
    if prod(packed.shape) != expected:
        raise UnfitOperator(
            f"expected {expected} bytes of weights for N={layout.n}, K={layout.k}, {layout.bits} bits and blocks of "
            f"{layout.block}, got shape {list(packed.shape)}"
        )
    scales = constants.scales(node.input(_SCALES))
    if scales is None:
        raise PassedOver("the scales of its weights are not constants of the file")
    scales = _by_block(scales, layout, "scales")
    zero_points, rounded = _zero_points(node, constants, layout)
    groups = _groups(node, constants, layout)
    operand = ConstantOperand(
        name=node.input(_CODES),
        shape=(layout.n, layout.k),
        storage=StorageType(layout.bits, signed=False),
        zero_points=_spread(zero_points, layout, groups),
        source=PackedBlocks(packed, layout.bits, (layout.n, layout.k)),
        scales=_spread(scales, layout, groups),
    )
    return BlockWeights(operand, rounded, layout.block)


def _layout(node: Node) -> _Layout:
    n, k, bits, block = (node.integer(*given) for given in (("N", 0), ("K", 0), ("bits", 4), ("block_size", 0)))
    if not (1 <= n <= MAX_ELEMENTS and 1 <= k <= MAX_ELEMENTS and n * k <= MAX_ELEMENTS):
        raise UnfitOperator(f"expected N and K from 1, and at most {MAX_ELEMENTS} weights, got N={n}, K={k}")
    if not 2 <= bits <= 8:
        raise UnfitOperator(f"expected bits from 2 to 8, got {bits}")
    if not _SMALLEST_BLOCK <= block <= MAX_ELEMENTS or block & (block - 1):
        raise UnfitOperator(f"expected block_size to be a power of 2 from {_SMALLEST_BLOCK}, got {block}")
    if bits not in _READ_BITS:
        raise PassedOver(f"its weights have {bits} bits; those of 2, 4 and 8 are read")
    if node.integer("weight_prepacked", 0):
        raise PassedOver("its weights are packed for one kernel of ONNX Runtime; give the file that was quantized")
    return _Layout(n, k, bits, block)


def _by_block(values: NDArray[Any], layout: _Layout, what: str) -> NDArray[Any]:
    if values.size != layout.n * layout.blocks:
        raise UnfitOperator(
            f"expected {layout.n} x {layout.blocks} {what}, one a block of its weights, got shape {list(values.shape)}"
        )
    return values.reshape(layout.n, layout.blocks)


def _zero_points(node: Node, constants: Constants, layout: _Layout) -> tuple[NDArray[np.int32], bool]:
    """Zero point of each block, or one for all, of shape (N, blocks) or (1, 1); and whether they have been rounded."""
    name = node.input(_ZERO_POINTS)
    if not name:
        return np.full((1, 1), 1 << (layout.bits - 1), np.int32), False
    packed = constants.stored(name)
    if packed is None:
        raise PassedOver("the zero points of its weights are not constants of the file")
    if packed.element_type == TensorProto.UINT8:
        return _packed_zero_points(packed, layout), False
    floats = constants.scales(name)
    if floats is None:
        raise UnfitOperator(f"expected zero points that are packed as uint8 or floats, got {packed.element_type}")
    floats = _by_block(floats, layout, "zero points").astype(np.float64)
    if not (np.abs(floats) < _LARGEST_ZERO_POINT).all():
        raise UnfitOperator(f"expected zero points below {_LARGEST_ZERO_POINT}, got larger ones, or no numbers")
    nearest = np.rint(floats)
    return nearest.astype(np.int32), bool((nearest != floats).any())


def _packed_zero_points(packed: StoredArray, layout: _Layout) -> NDArray[np.int32]:
    """Rows of codes, each row filled up to whole bytes."""
    row = -(-layout.blocks * layout.bits // 8)
    if prod(packed.shape) != layout.n * row:
        raise UnfitOperator(
            f"expected {layout.n} x {row} bytes of zero points, {layout.blocks} of {layout.bits} bits a row, got "
            f"shape {list(packed.shape)}"
        )
    codes = unpack(packed().reshape(-1), layout.bits, layout.n * row * 8 // layout.bits)
    return codes.reshape(layout.n, -1)[:, : layout.blocks].astype(np.int32)


def _groups(node: Node, constants: Constants, layout: _Layout) -> NDArray[np.int64] | None:
    """Block whose scale each index of K takes; None where they are in order."""
    name = node.input(_GROUPS)
    if not name:
        return None
    held = constants.array(name)
    if held is None or held.dtype.kind != "i":
        raise PassedOver("its g_idx is not a constant of integers")
    if held.size not in (layout.k, layout.blocks * layout.block):
        raise UnfitOperator(f"expected {layout.k} entries of g_idx, got shape {list(held.shape)}")
    groups = held.reshape(-1)[: layout.k].astype(np.int64)
    if groups.min() < 0 or groups.max() >= layout.blocks:
        raise UnfitOperator(f"expected g_idx from 0 to {layout.blocks - 1}, got {groups.min()} to {groups.max()}")
    return None if np.array_equal(groups, np.arange(layout.k) // layout.block) else groups


def _spread(values: NDArray[Any], layout: _Layout, groups: NDArray[np.int64] | None) -> QuantizationValues:
    if (values == values[:1, :1]).all():
        return QuantizationValues(values[:1, :1])
    if groups is None:
        return QuantizationValues(values, 1, layout.block)
    return ShuffledBlocks(values, groups)
