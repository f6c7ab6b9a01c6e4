"""Geometry of ONNX's convolutions in one and two dimensions: those in one are images of height 1."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from fewflips.network.lowering import Convolution2D
from fewflips.network.onnx.elements import MAX_ELEMENTS
from fewflips.network.onnx.errors import PassedOver, UnfitOperator
from fewflips.network.onnx.nodes import Node

_POINT = Convolution2D("NCHW", (1, 1), (1, 1), (1, 1), (0, 0, 0, 0))


@dataclass(frozen=True)
class ConvolutionProduct:
    """The matrix product that a convolution is.

    Parameters
    ----------
    groups : int
        Groups of channels.
    m : int
        Rows of X.
    n : int
        Columns of the product.
    lowering : Convolution2D
        How X follows from the input tensor.
    """

    groups: int
    m: int
    n: int
    lowering: Convolution2D


def convolution_product(
    node: Node, weights: tuple[int, ...], image: tuple[int, ...], output: tuple[int, ...] | None
) -> ConvolutionProduct:
    """A convolution: each output takes a window of the image.

    Parameters
    ----------
    node : Node
        The operator.
    weights : tuple of int
        Shape of its weights: output channels, input channels of a group, then the kernel.
    image, output : tuple of int
        Shapes of its input, and of its output where it is known.

    Returns
    -------
    ConvolutionProduct
        One row for each output pixel, raster order.

    Raises
    ------
    PassedOver
        If it has more than two dimensions.
    UnfitOperator
        If shapes and attributes do not fit each other.
    """
    check_dimensions(weights)
    n, depth, *kernel = weights
    dimensions = len(kernel)
    groups = node.integer("group", 1)
    if len(image) != len(weights) or groups < 1 or n % groups or image[1] != depth * groups:
        raise UnfitOperator(f"weights {list(weights)} in {groups} groups do not fit an input of shape {list(image)}")
    stated = node.integers("kernel_shape")
    if stated is not None and list(stated) != kernel:
        raise UnfitOperator(f"expected kernel_shape {kernel} as its weights have, got {list(stated)}")
    strides, dilations = (_pair(node, name, dimensions) for name in ("strides", "dilations"))
    height, width = _plane(image[2:])
    size = _plane(kernel)
    pads = _pads(node, (height, width), size, strides, dilations, dimensions)
    lowering = Convolution2D("NCHW", size, strides, dilations, pads)
    padded = (height + pads[0] + pads[2], width + pads[1] + pads[3])
    if image[0] * image[1] * padded[0] * padded[1] > MAX_ELEMENTS:
        raise UnfitOperator(f"its pads {list(pads)} are too large")
    rows, columns = lowering.output_size(height, width)
    if rows < 1 or columns < 1:
        raise UnfitOperator(f"its kernel does not fit an image of {height} x {width} pixels")
    expected = (image[0], n, *(rows, columns)[-dimensions:])
    if output is not None and output != expected:
        raise UnfitOperator(f"expected an output of shape {list(expected)}, got {list(output)}")
    return ConvolutionProduct(groups, image[0] * rows * columns, n, replace(lowering, grid=(rows, columns)))


def transposed_product(node: Node, weights: tuple[int, ...], image: tuple[int, ...]) -> ConvolutionProduct:
    """A transposed convolution: each pixel of the image adds to a window of the output.

    Parameters
    ----------
    node : Node
        The operator.
    weights : tuple of int
        Shape of its weights: input channels, output channels of a group, then the kernel.
    image : tuple of int
        Shape of its input.

    Returns
    -------
    ConvolutionProduct
        One row for each input pixel, raster order; one column for each output channel and place of the kernel. Where
        the results are added up does not matter to the product.

    Raises
    ------
    PassedOver
        If it has more than two dimensions, or groups.
    UnfitOperator
        If shapes do not fit each other.
    """
    check_dimensions(weights)
    groups = node.integer("group", 1)
    if len(image) != len(weights) or groups < 1 or image[1] != weights[0] or weights[0] % groups:
        raise UnfitOperator(f"weights {list(weights)} in {groups} groups do not fit an input of shape {list(image)}")
    if groups != 1:
        raise PassedOver("it is a transposed convolution in groups; those without are read")
    stated = node.integers("kernel_shape")
    if stated is not None and list(stated) != list(weights[2:]):
        raise UnfitOperator(f"expected kernel_shape {list(weights[2:])} as its weights have, got {list(stated)}")
    lowering = replace(_POINT, grid=_plane(image[2:]))
    return ConvolutionProduct(1, image[0] * prod(image[2:]), prod(weights[1:]), lowering)


def check_dimensions(weights: tuple[int, ...]) -> None:
    """Raise an exception unless weights are those of a convolution in one dimension or two."""
    if len(weights) not in (3, 4):
        raise PassedOver(f"it is a convolution in {len(weights) - 2} dimensions; those in 1 and 2 are read")


def _plane(lengths: list[int] | tuple[int, ...]) -> tuple[int, int]:
    """Height and width; a line has height 1."""
    return (lengths[0], lengths[1]) if len(lengths) == 2 else (1, lengths[0])


def _pair(node: Node, name: str, dimensions: int) -> tuple[int, int]:
    values = node.integers(name) or (1,) * dimensions
    if len(values) != dimensions or any(not 1 <= value <= MAX_ELEMENTS for value in values):
        what = "2 positive integers" if dimensions == 2 else "1 positive integer"
        raise UnfitOperator(f"expected {name} to be {what}, got {list(values)[:8]}")
    return _plane(values)


def _pads(
    node: Node,
    image: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    dimensions: int,
) -> tuple[int, int, int, int]:
    mode = node.text("auto_pad", "NOTSET")
    if mode == "NOTSET":
        pads = node.integers("pads") or (0,) * (2 * dimensions)
        if len(pads) != 2 * dimensions or any(not 0 <= pad <= MAX_ELEMENTS for pad in pads):
            raise UnfitOperator(f"expected pads to be {2 * dimensions} integers from 0, got {list(pads)[:8]}")
        return (pads[0], pads[1], pads[2], pads[3]) if dimensions == 2 else (0, pads[0], 0, pads[1])
    if mode == "VALID":
        return 0, 0, 0, 0
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise UnfitOperator(f"auto_pad '{mode[:40]}' is not known")
    begins, ends = [], []
    for length, extent, stride, dilation in zip(image, kernel, strides, dilations, strict=True):
        needed = max((-(-length // stride) - 1) * stride + (extent - 1) * dilation + 1 - length, 0)
        begins.append(needed // 2 if mode == "SAME_UPPER" else needed - needed // 2)
        ends.append(needed - begins[-1])
    return begins[0], begins[1], ends[0], ends[1]
