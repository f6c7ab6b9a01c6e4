"""Scales and zero points of an operand: one for all elements, one a channel, or one a block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError


@dataclass(frozen=True, eq=False)
class QuantizationValues:
    """Scales, or zero points, of an operand, stored as often as they differ.

    Parameters
    ----------
    values : ndarray of any number type, of the operand's rank
        Along each axis one value for all indices, or one for each; along `block_axis` one for each block.
    block_axis : int or None
        The axis that is cut into blocks; None where there are none.
    block : int
        Elements of a block along `block_axis`; the last block may be shorter.
    """

    values: NDArray[Any] = field(repr=False)
    block_axis: int | None = None
    block: int = 1

    def __post_init__(self) -> None:
        if self.block < 1:
            raise InputError(f"quantization parameters: expected blocks of at least 1 element, got {self.block}")

    @classmethod
    def per_tensor(cls, value: int | float | np.number[Any], rank: int = 2) -> QuantizationValues:
        """One value for all elements.

        Parameters
        ----------
        value : number
            The value; a NumPy scalar keeps its type.
        rank : int
            Axes of the operand.

        Returns
        -------
        QuantizationValues
            Of shape (1, ..., 1).
        """
        return cls(np.asarray(value).reshape((1,) * rank))

    @classmethod
    def per_channel(cls, values: NDArray[Any], axis: int = 0, rank: int = 2) -> QuantizationValues:
        """One value for each index of an axis.

        Parameters
        ----------
        values : ndarray of any number type, shape (C,)
            The values.
        axis : int
            The axis, of length C.
        rank : int
            Axes of the operand.

        Returns
        -------
        QuantizationValues
            Of length C along the axis, 1 along the others.
        """
        return cls(values.reshape([-1 if position == axis else 1 for position in range(rank)]))

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of the values as they are stored."""
        return self.values.shape

    def elements(self, shape: Sequence[int]) -> NDArray[Any]:
        """Give each element of the operand its value.

        Parameters
        ----------
        shape : sequence of int
            The operand's shape.

        Returns
        -------
        ndarray, same dtype, of the operand's shape
            Not to be written to: a view that repeats values, save where there are blocks.

        Raises
        ------
        InputError
            If the values do not fit the shape.
        """
        self.check(shape)
        values = self.values
        if self.block_axis is not None:
            values = values.take(np.arange(shape[self.block_axis]) // self.block, axis=self.block_axis)
        return np.broadcast_to(values, tuple(shape))

    def along(self, axis: int, shape: Sequence[int]) -> NDArray[Any] | None:
        """One value for each index of an axis.

        Parameters
        ----------
        axis : int
            The axis.
        shape : sequence of int
            The operand's shape.

        Returns
        -------
        ndarray, same dtype, shape (length of the axis,), or None
            Not to be written to; None where values differ among the elements of an index, or it has none.

        Raises
        ------
        InputError
            If the values do not fit the shape.
        """
        self.check(shape)
        first = np.moveaxis(self.values, axis, 0)
        rows = first.reshape(len(first), prod(first.shape[1:]))
        if not rows.shape[1] or (rows != rows[:, :1]).any():
            return None
        column = rows[:, 0]
        if axis == self.block_axis:
            column = column.take(np.arange(shape[axis]) // self.block)
        return np.broadcast_to(column, (shape[axis],))

    def groups_along(self, axis: int, shape: Sequence[int]) -> NDArray[np.int64]:
        """Which indices of an axis have the same values, whatever the other axes' indices.

        Parameters
        ----------
        axis : int
            The axis.
        shape : sequence of int
            The operand's shape.

        Returns
        -------
        ndarray of int64, shape (length of the axis,)
            Number of the group of each index, from 0 on; 0 throughout where values do not change along the axis.

        Raises
        ------
        InputError
            If the values do not fit the shape.

        Examples
        --------
        >>> QuantizationValues(np.array([[0.5, 0.25, 0.5]]), 1, 2).groups_along(1, (4, 6)).tolist()
        [1, 1, 0, 0, 1, 1]
        """
        self.check(shape)
        _, group = np.unique(self.values, axis=axis, return_inverse=True)
        group = group.reshape(-1).astype(np.int64)
        if axis == self.block_axis:
            group = group.take(np.arange(shape[axis]) // self.block)
        return np.broadcast_to(group, (shape[axis],))

    def transposed(self, order: Sequence[int]) -> QuantizationValues:
        """Values of the operand with its axes in another order.

        Parameters
        ----------
        order : sequence of int
            The old axis at each new one, as :func:`numpy.transpose` takes it.

        Returns
        -------
        QuantizationValues
            A view.
        """
        axis = None if self.block_axis is None else tuple(order).index(self.block_axis)
        return QuantizationValues(self.values.transpose(order), axis, self.block)

    def check(self, shape: Sequence[int]) -> None:
        """Raise an error unless the values fit an operand.

        Parameters
        ----------
        shape : sequence of int
            The operand's shape.

        Raises
        ------
        InputError
            If there are too few or too many along an axis.
        """
        blocks = [-(-length // self.block) if axis == self.block_axis else length for axis, length in enumerate(shape)]
        stored = self.stored_shape
        fits = len(blocks) == len(stored) and all(
            got == expected or (got == 1 and axis != self.block_axis)
            for axis, (got, expected) in enumerate(zip(stored, blocks, strict=True))
        )
        if not fits:
            raise InputError(
                f"quantization parameters of an operand of shape {list(shape)}: expected 1 or as many as "
                f"{blocks} along each axis, got shape {list(stored)}"
            )


class StoredQuantizationValues(QuantizationValues):
    """Values that are read when they are asked for, and whose shape is known before.

    Parameters
    ----------
    source : callable
        Gives the values, an ndarray of any number type, of the shape; one of the package can be pickled.
    stored_shape : sequence of int
        Their shape.
    block_axis, block : int or None, int
        As of QuantizationValues.
    """

    _source: Callable[[], NDArray[Any]]
    _stored_shape: tuple[int, ...]

    def __init__(
        self,
        source: Callable[[], NDArray[Any]],
        stored_shape: Sequence[int],
        block_axis: int | None = None,
        block: int = 1,
    ) -> None:
        for name, value in (("block_axis", block_axis), ("block", block)):
            object.__setattr__(self, name, value)  # fields of a frozen class
        self._source = source
        self._stored_shape = tuple(stored_shape)
        self.__post_init__()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape {self._stored_shape}, {self.block_axis=}, {self.block=})"

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of the values as they are stored, which is known before they are read."""
        return self._stored_shape

    @property
    def values(self) -> NDArray[Any]:
        """The values, read anew each time.

        Raises
        ------
        ModelError
            If the model's file can no longer be read.
        InputError
            If it has changed since, or the values do not have the shape.
        """
        values = self._source()
        if values.shape != self._stored_shape:
            raise InputError(
                f"quantization parameters: expected values of shape {self._stored_shape}, got {values.shape}"
            )
        return values
