"""Lowering: from an input tensor to the rows X of a matrix product (im2col)."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fewflips.errors import InputError


@dataclass(frozen=True)
class MatrixProduct:
    """The input tensor holds rows of length K, one after the other.

    Parameters
    ----------
    k : int or None
        K, where it may span several trailing axes of the input tensor (TFLite flattens them); None where it
        is the last axis.
    """

    k: int | None = None

    @property
    def kernel_positions(self) -> int:
        """Always 1."""
        return 1

    def rows(self, tensor: NDArray[np.integer], groups: int, pad_value: int) -> NDArray[np.integer]:
        """Rows of X.

        Parameters
        ----------
        tensor : ndarray of int8, uint8 or int16, shape (..., K), or any shape of M x K elements
            The input tensor.
        groups : int
            Must be 1.
        pad_value : int
            Unused: nothing is padded.

        Returns
        -------
        ndarray, same dtype, shape (1, M, K)
            The rows.

        Raises
        ------
        InputError
            If the tensor does not fit the product.
        """
        if groups != 1:
            raise InputError(f"matrix product: expected 1 group, got {groups}")
        k = tensor.shape[-1] if self.k is None and tensor.ndim else self.k
        if not k or tensor.size % k:
            raise InputError(f"matrix product: expected rows of {k} elements, got a tensor of shape {tensor.shape}")
        return tensor.reshape(1, -1, k)


@dataclass(frozen=True)
class OwnRows:
    """The input tensor holds rows of length K for each group, the groups side by side.

    Parameters
    ----------
    k : int
        K.
    """

    k: int

    @property
    def kernel_positions(self) -> int:
        """K: a group is one channel, seen at K points of time."""
        return self.k

    def rows(self, tensor: NDArray[np.integer], groups: int, pad_value: int) -> NDArray[np.integer]:
        """Rows of X.

        Parameters
        ----------
        tensor : ndarray of int8, uint8 or int16, any shape of M x groups x K elements
            The input tensor.
        groups : int
            Groups of channels.
        pad_value : int
            Unused: nothing is padded.

        Returns
        -------
        ndarray, same dtype, shape (groups, M, K)
            The rows of each group.

        Raises
        ------
        InputError
            If the tensor does not fit the product.
        """
        if tensor.size % (groups * self.k):
            raise InputError(f"expected rows of {groups} x {self.k} elements, got a tensor of shape {tensor.shape}")
        return np.ascontiguousarray(tensor.reshape(-1, groups, self.k).swapaxes(0, 1))


@dataclass(frozen=True)
class MatrixBatch:
    """The last two axes of the input tensor are a matrix, one for each group; products of two activations have these.

    Parameters
    ----------
    batch : tuple of int
        Leading axes of the product, with which those of the tensor are broadcast.
    transposed : bool
        Whether rows run along the last axis.
    """

    batch: tuple[int, ...]
    transposed: bool = False

    @property
    def kernel_positions(self) -> int:
        """Always 1."""
        return 1

    def rows(self, tensor: NDArray[np.integer], groups: int, pad_value: int) -> NDArray[np.integer]:
        """Rows of each matrix.

        Parameters
        ----------
        tensor : ndarray of int8, uint8 or int16, shape (..., R, C)
            The input tensor.
        groups : int
            Matrices: the product of `batch`.
        pad_value : int
            Unused: nothing is padded.

        Returns
        -------
        ndarray, same dtype, shape (groups, R, C), or (groups, C, R) where it is transposed
            The rows of each group.

        Raises
        ------
        InputError
            If the tensor does not fit the product.
        """
        if groups != prod(self.batch) or tensor.ndim < 2:
            raise InputError(f"expected {prod(self.batch)} matrices, got {groups} groups and shape {tensor.shape}")
        matrices = tensor.swapaxes(-1, -2) if self.transposed else tensor
        shape = (*self.batch, *matrices.shape[-2:])
        try:
            whole = np.broadcast_to(matrices, shape)
        except ValueError as error:
            raise InputError(f"expected a tensor that fits {shape}, got shape {matrices.shape}") from error
        return np.ascontiguousarray(whole).reshape(groups, *shape[-2:])


@dataclass(frozen=True)
class Convolution2D:
    """A two-dimensional convolution.

    Parameters
    ----------
    layout : {"NHWC", "NCHW"}
        Layout of the input tensor; it also says how K is ordered: (kh, kw, ci) or (ci, kh, kw).
    kernel, strides, dilations : (int, int)
        Height, width.
    pads : (int, int, int, int)
        Top, left, bottom, right, in pixels.
    grid : (int, int) or None
        Height and width of the output, where the file states the size of the input. Not compared.
    """

    layout: Literal["NHWC", "NCHW"]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    grid: tuple[int, int] | None = field(default=None, compare=False)

    @property
    def kernel_positions(self) -> int:
        """Kernel height x width."""
        return self.kernel[0] * self.kernel[1]

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the output for an input of the given height and width."""
        padded = (height + self.pads[0] + self.pads[2], width + self.pads[1] + self.pads[3])
        rows, columns = (
            (padded[i] - self.dilations[i] * (self.kernel[i] - 1) - 1) // self.strides[i] + 1 for i in (0, 1)
        )
        return rows, columns

    def rows(self, tensor: NDArray[np.integer], groups: int, pad_value: int) -> NDArray[np.integer]:
        """Rows of X, output pixels in raster order.

        Parameters
        ----------
        tensor : ndarray of int8, uint8 or int16, shape (batch, H, W, C), (batch, C, H, W) or (batch, C, W)
            The input tensor; one without H has height 1.
        groups : int
            Groups of input channels; C must be a multiple.
        pad_value : int
            The code in the padding: the tensor's zero point.

        Returns
        -------
        ndarray, same dtype, shape (groups, M, K)
            The rows of each group.

        Raises
        ------
        InputError
            If the tensor does not fit the convolution.
        """
        image = tensor if self.layout == "NCHW" else np.moveaxis(tensor, -1, 1)
        if image.ndim == 3 and self.layout == "NCHW":
            image = image[:, :, np.newaxis]
        if image.ndim != 4 or image.shape[1] % groups:
            raise InputError(
                f"expected a {self.layout} tensor with a multiple of {groups} channels, got shape {tensor.shape}"
            )
        top, left, bottom, right = self.pads
        padded = np.pad(image, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=pad_value)
        extent = tuple(self.dilations[i] * (self.kernel[i] - 1) + 1 for i in (0, 1))
        if padded.shape[2] < extent[0] or padded.shape[3] < extent[1]:
            raise InputError(f"kernel of extent {extent} does not fit the padded image {padded.shape[2:]}")
        windows = sliding_window_view(padded, extent, axis=(2, 3))
        windows = windows[:, :, :: self.strides[0], :: self.strides[1], :: self.dilations[0], :: self.dilations[1]]
        batch, channels, out_h, out_w, kernel_h, kernel_w = windows.shape
        grouped = windows.reshape(batch, groups, channels // groups, out_h, out_w, kernel_h, kernel_w)
        inner = (2, 5, 6) if self.layout == "NCHW" else (5, 6, 2)
        return np.ascontiguousarray(grouped.transpose(1, 0, 3, 4, *inner)).reshape(groups, batch * out_h * out_w, -1)


Lowering = MatrixProduct | OwnRows | MatrixBatch | Convolution2D
