"""What operators compute, in PyTorch, on batches in real numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

Function = Callable[..., Tensor]

POINTWISE: dict[str, Function] = {
    "RELU": torch.relu,
    "RELU6": functional.relu6,
    "RELU_N1_TO_1": partial(torch.clamp, min=-1.0, max=1.0),
    "LOGISTIC": torch.sigmoid,
    "TANH": torch.tanh,
    "HARD_SWISH": functional.hardswish,
}
"""By their names in TFLite, where ONNX calls them otherwise."""


def same(values: Tensor) -> Tensor:
    """The values themselves: requantization is the rounding that follows."""
    return values


def reshaped(values: Tensor, shape: Sequence[int]) -> Tensor:
    """The values of each inference in another shape, without the batch."""
    return values.reshape(len(values), *shape)


def mean(values: Tensor, axes: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Mean along axes other than the batch's, in a shape without the batch."""
    return reshaped(values.mean(dim=tuple(axes)), shape)


def softmax(values: Tensor, axis: int = -1) -> Tensor:
    """Softmax along an axis."""
    return torch.softmax(values, dim=axis)


def concatenated(*values: Tensor, axis: int) -> Tensor:
    """Tensors one behind the other along an axis other than the batch's."""
    return torch.cat(values, dim=axis)


def padded(values: Tensor, widths: Sequence[tuple[int, int]]) -> Tensor:
    """Zeros around the values: before and behind along each axis."""
    flat = [width for pair in reversed(widths) for width in pair]
    return functional.pad(values, flat)


def pooled(
    values: Tensor,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    *,
    largest: bool,
    last: bool,
    counts_padding: bool = False,
) -> Tensor:
    """Largest or mean value of windows.

    Parameters
    ----------
    values : Tensor of float32, shape (B, C, H, W), or (B, H, W, C) with `last`
        The values.
    kernel, strides : (int, int)
        Height, width.
    pads : (int, int, int, int)
        Top, left, bottom, right.
    largest : bool
        Whether to take the largest value, not the mean.
    last : bool
        Whether channels are the last axis.
    counts_padding : bool
        Whether a mean counts padding as zeros; it leaves padding out otherwise.

    Returns
    -------
    Tensor of float32
        In the layout of `values`.
    """
    image = values.permute(0, 3, 1, 2) if last else values
    top, left, bottom, right = pads
    around = (left, right, top, bottom)
    if largest:
        image = functional.pad(image, around, value=-torch.inf) if any(pads) else image
        result = functional.max_pool2d(image, kernel, strides)
    else:
        present = None
        if any(pads):
            present = torch.ones_like(image[:1, :1])
            image = functional.pad(image, around)
        result = functional.avg_pool2d(image, kernel, strides)
        if present is not None and not counts_padding:
            result = result / functional.avg_pool2d(functional.pad(present, around), kernel, strides)
    return result.permute(0, 2, 3, 1) if last else result
