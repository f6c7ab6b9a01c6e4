"""Products of two activations, both integers in the file: scores and weighted values of attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from fewflips.formats.number_formats import StorageType
from fewflips.network.lowering import MatrixBatch
from fewflips.network.onnx.elements import MAX_ELEMENTS
from fewflips.network.operand import ActivationOperand
from fewflips.network.product import Product

BATCHED = frozenset(("MatMul", "MatMulInteger", "QLinearMatMul", "MatMulIntegerToFloat"))
"""Operators that multiply matrices along leading axes, neither of them transposed."""


@dataclass(frozen=True)
class IntegerTensor:
    """An activation tensor of integers.

    Parameters
    ----------
    tensor : str or None
        Its name; None where activations are not known as integers.
    storage : StorageType or None
        Its type.
    zero_point : int or None
        Its zero point; None where it is chosen at run time.
    """

    tensor: str | None
    storage: StorageType | None
    zero_point: int | None


def batched_product(
    name: str, operator: str, operands: tuple[IntegerTensor, IntegerTensor], shapes: Sequence[tuple[int, ...] | None]
) -> Product | None:
    """The product of two tensors, a group for each pair of matrices.

    Parameters
    ----------
    name, operator : str
        As of the product.
    operands : (IntegerTensor, IntegerTensor)
        Left and right.
    shapes : sequence of tuple of int or None
        Theirs.

    Returns
    -------
    Product or None
        Rows of the left operand times columns of the right one; None where shapes are not known, or do not fit.
    """
    left, right = shapes
    if left is None or right is None or min(len(left), len(right)) < 2 or left[-1] != right[-2]:
        return None
    try:
        batch = np.broadcast_shapes(left[:-2], right[:-2])
    except ValueError:
        return None
    (m, k), n, groups = left[-2:], right[-1], prod(batch)
    if not 1 <= groups * m * k <= MAX_ELEMENTS or not 1 <= groups * k * n <= MAX_ELEMENTS:
        return None
    lowerings = MatrixBatch(batch), MatrixBatch(batch, transposed=True)
    first, second = (
        ActivationOperand((rows, k), lowering, operand.tensor, operand.storage, operand.zero_point)
        for rows, lowering, operand in zip((m, groups * n), lowerings, operands, strict=True)
    )
    return Product(name, operator, first, second, groups)
