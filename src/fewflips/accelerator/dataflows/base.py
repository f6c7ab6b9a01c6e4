"""What every dataflow has to say about a layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import AcceleratorError
from fewflips.streams import Stream

if TYPE_CHECKING:
    from fewflips.accelerator.machine import Accelerator
    from fewflips.network.layer import Layer


LARGEST_STREAM_BYTES = 1 << 30
"""Activation streams beyond this are refused rather than laid out in memory."""


@dataclass(frozen=True, eq=False)
class Segment:
    """One pass through the array: which indices sit on the lanes, and in which order the others stream.

    Parameters
    ----------
    lanes : ndarray of int64, shape (L,)
        Indices of the dataflow's `lanes_axis` that share the pass.
    order : ndarray of int64, shape (T,)
        Indices of the dataflow's `order_axis`, in the order in which they are visited.
    """

    lanes: NDArray[np.int64] = field(repr=False)
    order: NDArray[np.int64] = field(repr=False)


class Dataflow(ABC):
    """A loop nest over Y[M, N] = X[M, K] W[K, N], seen from the operand ports.

    A subclass names itself and its axes, cuts a layer into segments, and lays out the streams that follow
    from an order of each segment. ``docs/dataflows.md`` draws the loop nests.
    """

    name: ClassVar[str]
    """Key in the registry and in YAML."""
    lanes_axis: ClassVar[Literal["k", "n"]]
    """What sits on the lanes of a segment: k (reduction) or n (output channels)."""
    order_axis: ClassVar[Literal["k", "n"]]
    """What streams, in an order that is free to choose: n or k."""

    @abstractmethod
    def segments(self, layer: Layer, array: Accelerator) -> tuple[Segment, ...]:
        """Segments of a layer in natural order, lanes contiguous.

        Parameters
        ----------
        layer : Layer
            The layer.
        array : Accelerator
            Its lanes and columns are used.

        Returns
        -------
        tuple of Segment
            In the order in which the array takes them.
        """

    @abstractmethod
    def weight_stream(
        self,
        layer: Layer,
        codes: NDArray[np.unsignedinteger],
        bits: int,
        segments: tuple[Segment, ...],
        array: Accelerator,
    ) -> Stream:
        """What the weight port sees.

        Parameters
        ----------
        layer : Layer
            The layer.
        codes : ndarray of uint8 or uint16, shape (N, K)
            Weights on the wires.
        bits : int
            Width of a code.
        segments : tuple of Segment
            The order of each pass.
        array : Accelerator
            Array and forwarding.

        Returns
        -------
        Stream
            Words, passes and repeats.
        """

    @abstractmethod
    def weight_repeats(self, layer: Layer, array: Accelerator) -> int:
        """How often the weight stream of a layer occurs in one inference."""

    @abstractmethod
    def activation_stream(
        self,
        layer: Layer,
        codes: NDArray[np.unsignedinteger],
        bits: int,
        segments: tuple[Segment, ...],
        array: Accelerator,
    ) -> Stream:
        """What the activation port sees.

        Parameters
        ----------
        layer : Layer
            The layer.
        codes : ndarray of uint8 or uint16, shape (G, M, K)
            Activations on the wires: the rows of each group.
        bits : int
            Width of a code.
        segments : tuple of Segment
            The order of each pass.
        array : Accelerator
            Array and forwarding.

        Returns
        -------
        Stream
            Words, passes and repeats.
        """

    @abstractmethod
    def unit(self, array: Accelerator) -> Literal["column", "chain", "mac"]:
        """Which arithmetic unit the array is made of; see :mod:`fewflips.datapath.design`."""

    @abstractmethod
    def lanes_in(self, layer: Layer, array: Accelerator) -> int:
        """How many indices of the `lanes_axis` a segment of a layer has room for."""

    def chains(self, layer: Layer, array: Accelerator) -> int:
        """How many paths a segment's order is cut into, loaded side by side; 1 where one word follows another."""
        return 1

    def order_from_path(self, path: NDArray[np.int64], chains: int) -> NDArray[np.int64]:
        """The visiting order that lays a short path through the words along the dataflow's chains.

        Parameters
        ----------
        path : ndarray of int64, shape (T,)
            A permutation of which consecutive entries are close.
        chains : int
            As :meth:`chains` gives it.

        Returns
        -------
        ndarray of int64, shape (T,)
            The same indices in visiting order.
        """
        return path

    def segment_words(self, codes: NDArray[np.unsignedinteger], segment: Segment) -> NDArray[np.unsignedinteger]:
        """Weight words of a segment, one row an index of its order.

        Parameters
        ----------
        codes : ndarray of uint8 or uint16, shape (N, K)
            Weights on the wires.
        segment : Segment
            Lanes and order.

        Returns
        -------
        ndarray, same dtype, shape (T, L)
            Without idle lanes.
        """
        if self.order_axis == "n":
            return codes[np.ix_(segment.order, segment.lanes)]
        return np.ascontiguousarray(codes[np.ix_(segment.lanes, segment.order)].T)


def chunks(count: int, size: int, start: int = 0) -> list[NDArray[np.int64]]:
    """Contiguous index ranges of at most `size` that cover ``start .. start + count - 1``."""
    return [
        np.arange(first, min(first + size, start + count), dtype=np.int64)
        for first in range(start, start + count, size)
    ]


def pad_last(words: NDArray[np.unsignedinteger], width: int) -> NDArray[np.unsignedinteger]:
    """Zeros appended along the last axis up to `width`: idle lanes."""
    missing = width - words.shape[-1]
    return np.pad(words, [(0, 0)] * (words.ndim - 1) + [(0, missing)]) if missing else words


def check_stream_size(words: int, layer: Layer, array: Accelerator) -> None:
    """Raise :class:`AcceleratorError` where a stream would take more memory than :data:`LARGEST_STREAM_BYTES`."""
    if words > LARGEST_STREAM_BYTES:
        raise AcceleratorError(
            f"{layer}: its activation stream on {array.lanes} lanes x {array.columns} columns takes "
            f"{words / 2**30:.1f} GiB, expected at most {LARGEST_STREAM_BYTES / 2**30:g}: take a smaller array, or "
            "measure without sample inputs"
        )


def pass_starts(lengths: list[int]) -> NDArray[np.int64]:
    """First cycle of each pass, from the lengths of the passes."""
    return np.concatenate(([0], np.cumsum(lengths[:-1]))).astype(np.int64)


def output_tiles(rows: NDArray[np.unsignedinteger], size: int) -> NDArray[np.unsignedinteger]:
    """Rows cut into tiles of output pixels, the last one filled up with zeros.

    Parameters
    ----------
    rows : ndarray, shape (G, M, K)
        Rows of each group.
    size : int
        Output pixels a tile.

    Returns
    -------
    ndarray, same dtype, shape (G, ceil(M / size), size, K)
        The tiles.
    """
    groups, m, k = rows.shape
    tiles = -(-m // size)
    padded = np.pad(rows, ((0, 0), (0, tiles * size - m), (0, 0)))
    return padded.reshape(groups, tiles, size, k)
