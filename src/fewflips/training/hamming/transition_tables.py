"""Differentiable transition costs between codes: tables, smoothed over codes, interpolated between them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewflips.errors import InputError


def flip_table(
    words: NDArray[np.unsignedinteger], bit_costs: NDArray[np.float32], word_cost: float = 0.0
) -> NDArray[np.float64]:
    """Cost of each transition between values: weighted flips, and half of what both words cost themselves.

    Parameters
    ----------
    words : ndarray of uint8 or uint16, shape (V,)
        Code on the wires of each value, in rising order of values.
    bit_costs : ndarray of float32, shape (bits,)
        Cost of a flip of each bit, least significant first.
    word_cost : float
        Cost of each bit that is 1, in flips.

    Returns
    -------
    ndarray of float64, shape (V, V)
        From row to column.
    """
    bits = np.arange(len(bit_costs))
    differing = words[:, None] ^ words[None, :]
    flips = ((differing[..., None] >> bits) & 1) @ bit_costs.astype(np.float64)
    ones = np.bitwise_count(words).astype(np.float64) * word_cost
    return flips + (ones[:, None] + ones[None, :]) / 2


def smoothed(table: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """A table averaged by a Gaussian over neighbouring values of both codes.

    Parameters
    ----------
    table : ndarray of float64, shape (V, V)
        Costs by values in rising order.
    width : float
        Standard deviation, in steps of the code; 0 leaves the table as it is.

    Returns
    -------
    ndarray of float64, shape (V, V)
        The averages; at the ends of the range the Gaussian is cut and normalized.
    """
    if width <= 0:
        return table
    steps = np.arange(len(table))
    kernel = np.exp(-0.5 * ((steps[:, None] - steps[None, :]) / width) ** 2)
    kernel /= kernel.sum(axis=1, keepdims=True)
    return kernel @ table @ kernel.T


def transition_cost(latent: Tensor, table: Tensor, low: int) -> Tensor:
    """Cost of consecutive codes, exact where they are whole numbers, bilinear in between.

    Parameters
    ----------
    latent : Tensor of float32, shape (T, L)
        Codes in streaming order, one lane a column; clipped to the table's range.
    table : Tensor of float32, shape (V, V)
        Cost from row to column, by values in rising order.
    low : int
        The first value.

    Returns
    -------
    Tensor of float32, shape ()
        Sum over T - 1 transitions of L lanes, differentiable with respect to `latent`.

    Raises
    ------
    InputError
        If there are fewer than two rows, or the table is not square.

    Examples
    --------
    >>> words = np.array([2, 3, 0, 1], dtype=np.uint8)  # -2, -1, 0, 1 in two's complement
    >>> table = torch.from_numpy(flip_table(words, np.ones(2, dtype=np.float32))).float()
    >>> codes = torch.tensor([[0.0], [-1.0], [1.0]])
    >>> transition_cost(codes, table, low=-2).item()  # 00 -> 11 -> 01
    3.0
    """
    if latent.ndim != 2 or latent.shape[0] < 2:
        raise InputError(f"transition cost: expected codes of shape (T, L) with T >= 2, got {tuple(latent.shape)}")
    if table.ndim != 2 or table.shape[0] != table.shape[1] or table.shape[0] < 2:
        raise InputError(f"transition cost: expected a square table, got shape {tuple(table.shape)}")
    values = table.shape[0]
    places = (latent - low).clamp(0, values - 1)
    floor = places.detach().floor().clamp_(max=values - 2)
    fraction = places - floor
    cell = floor.nan_to_num(0.0).to(torch.int64)  # the cost of NaN is NaN
    corner = cell[:-1] * values + cell[1:]
    flat = table.reshape(-1)
    here, there = fraction[:-1], fraction[1:]
    near = torch.lerp(flat[corner], flat[corner + 1], there)
    far = torch.lerp(flat[corner + values], flat[corner + values + 1], there)
    return torch.lerp(near, far, here).sum()
