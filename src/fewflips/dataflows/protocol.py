"""What every dataflow defines for a layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.accesses import Accesses, CodeWidths
from fewflips.dataflows.layer_operands import LayerOperands
from fewflips.dataflows.phases import HeldOperand, Phase, PhaseSource
from fewflips.dataflows.segment import Segment
from fewflips.dataflows.unit_work import PART_CYCLES, Part, UnitWork
from fewflips.errors import AcceleratorError
from fewflips.machine.accelerator import Accelerator
from fewflips.network.layer import Layer
from fewflips.streams.stream import Stream


class Dataflow(ABC):
    """A loop nest over Y[M, N] = X[M, K] W[K, N], seen from the operand ports.

    A subclass names itself and its axes, cuts a layer into segments, and lays out the streams that follow
    from an order of each segment. ``docs/dataflows.md`` draws the loop nests.
    """

    name: ClassVar[str]
    """Key in the registry and in YAML."""
    lanes_axis: ClassVar[Literal["k", "n"]]
    """The index on the lanes of a segment: k (reduction) or n (output channels)."""
    order_axis: ClassVar[Literal["k", "n"]]
    """The index that streams, in an order that is free to choose: n or k."""
    held_operand: ClassVar[HeldOperand] = "activations"
    """The operand whose values decide how many of the other one's flips pass through the multipliers."""
    weights_stream: ClassVar[bool] = True
    """Whether weights follow one another on a lane cycle by cycle, so that training can pull them together."""
    activations_follow_pixels: ClassVar[bool] = False
    """Whether the activations of one input follow one another on a lane, from output pixel to output pixel."""
    sums_change_with_order: ClassVar[bool] = False
    """Whether a unit's partial sums belong to output channels that stream in each segment's own order."""
    has_hold_flags: ClassVar[bool] = False
    """Whether :meth:`unit_work` counts the loads of each lane on a machine with hold flags."""
    has_sign_flags: ClassVar[bool] = False
    """Whether words may stream negated (:attr:`Segment.negated`) on a machine with sign flags."""
    has_coded_units: ClassVar[bool] = False
    """Whether :meth:`unit_parts` gives bus-invert coded words, for units with decoders and the encoders before them."""

    has_tiles: ClassVar[bool] = False
    """Whether passes can be confined to a tile of outputs; a machine with tiles is refused otherwise."""
    columns_share_pixels: ClassVar[bool] = False
    """Whether columns differ in nothing but the output pixels that they compute: segments and what is streamed past
    them are the same whatever the number of columns."""

    @abstractmethod
    def segments(self, layer: Layer, array: Accelerator) -> tuple[Segment, ...]:
        """Segments of a layer in natural order, lanes contiguous.

        Parameters
        ----------
        layer : Layer
            The layer.
        array : Accelerator
            The machine; its lanes and columns are used.

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
        """How often the weight stream of a layer occurs in one inference.

        Parameters
        ----------
        layer : Layer
            The layer.
        array : Accelerator
            The machine.

        Returns
        -------
        int
            At least 1.
        """

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
        """The kind of arithmetic unit that makes up the array; see :mod:`fewflips.datapath.design`.

        Parameters
        ----------
        array : Accelerator
            The machine.

        Returns
        -------
        {"column", "chain", "mac"}
            Lanes added by a tree, lanes added one after the other, or a single multiply-accumulate unit.
        """

    @abstractmethod
    def lanes_in(self, layer: Layer, array: Accelerator) -> int:
        """How many indices of the `lanes_axis` a segment of a layer has room for.

        Parameters
        ----------
        layer : Layer
            The layer.
        array : Accelerator
            The machine.

        Returns
        -------
        int
            At least 1.
        """

    @abstractmethod
    def unit_work(self, layer: Layer, segments: tuple[Segment, ...], array: Accelerator) -> UnitWork:
        """How long the units work for a layer in one inference, and which registers they share.

        Parameters
        ----------
        layer : Layer
            The layer.
        segments : tuple of Segment
            The order of each pass.
        array : Accelerator
            Array and forwarding.

        Returns
        -------
        UnitWork
            Cycles of the units and of the array, loads of the registers.
        """

    @abstractmethod
    def unit_parts(
        self,
        operands: LayerOperands,
        segments: tuple[Segment, ...],
        array: Accelerator,
        part_cycles: int = PART_CYCLES,
    ) -> Iterator[Part]:
        """What each unit sees, cycle by cycle, in parts that fit in memory.

        Parameters
        ----------
        operands : LayerOperands
            Codes of both operands.
        segments : tuple of Segment
            The order of each pass.
        array : Accelerator
            Array and forwarding.
        part_cycles : int
            Approximate number of unit cycles of a part.

        Yields
        ------
        Part
            Each repeats as many cycles of the previous one as all registers need to settle.
        """

    @abstractmethod
    def phases(self, source: PhaseSource) -> Iterator[Phase]:
        """Phases of a layer, from which its energy is estimated.

        Parameters
        ----------
        source : PhaseSource
            The layer, its words, and what is known of its activations.

        Yields
        ------
        Phase
            Their cycles add up to the unit cycles of :meth:`unit_work`; those without cycles are dropped later.
        """

    def accesses(self, layer: Layer, segments: tuple[Segment, ...], array: Accelerator, widths: CodeWidths) -> Accesses:
        """What the array reads from its buffers and writes to them in one inference of a layer.

        Parameters
        ----------
        layer : Layer
            The layer.
        segments : tuple of Segment
            The order of each pass. Orders are read from the index table where they are not those of
            :meth:`segments`.
        array : Accelerator
            Array and tiling.
        widths : CodeWidths
            Bits of each operand in the memories.

        Returns
        -------
        Accesses
            Counted from the loop nest: no word is read twice that the loop nest does not read twice.

        Raises
        ------
        AcceleratorError
            By default: a dataflow that does not count its accesses cannot have buffers.
        """
        raise AcceleratorError(
            f"{array.name}: dataflow {self.name} does not say what it reads and writes: define its `accesses`, or "
            "leave out `buffers`"
        )

    def chains(self, layer: Layer, array: Accelerator) -> int:
        """How many paths a segment's order is cut into, loaded side by side.

        Parameters
        ----------
        layer : Layer
            The layer.
        array : Accelerator
            The machine.

        Returns
        -------
        int
            1 if words follow one another in a single chain.
        """
        return 1

    def tiles_of_outputs(self, layer: Layer, array: Accelerator) -> int:
        """How many tiles the output channels of a group are taken in, one after the other.

        Parameters
        ----------
        layer : Layer
            The layer.
        array : Accelerator
            The machine.

        Returns
        -------
        int
            1 if all of a group's channels may follow one another within a pass.
        """
        return 1

    def order_from_path(self, path: NDArray[np.int64], chains: int) -> NDArray[np.int64]:
        """The visiting order that lays a short path through the words along the dataflow's chains.

        Parameters
        ----------
        path : ndarray of int64, shape (T,)
            A permutation whose consecutive entries are close.
        chains : int
            Result of :meth:`chains`.

        Returns
        -------
        ndarray of int64, shape (T,)
            The same indices in visiting order.
        """
        return path

    def segment_words(self, codes: NDArray[np.unsignedinteger], segment: Segment) -> NDArray[np.unsignedinteger]:
        """Weight words of a segment, one row for each index of its order.

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
