"""What the units of an array do for one layer, in parts that fit in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.datapath.design import Datapath
from fewflips.gates.operands import OperandSequences, PortRows

PART_CYCLES = 1 << 22
"""Approximate number of unit cycles of a part: its operands and partial sums take a few tens of MiB."""


@dataclass(frozen=True, eq=False)
class Part:
    """A part of the cycles of a layer.

    Parameters
    ----------
    sequences : OperandSequences
        One sequence per unit: a column of the array, or one multiply-accumulate unit.
    units : ndarray of int64, shape (S,)
        Which unit of the array each sequence belongs to.
    skip : ndarray of int64, shape (S,)
        Cycles at the start of each sequence that repeat the end of the previous part, so that the step from part to
        part is counted once, with the correct register contents; 0 in the first part.
    encoders : mapping of str to Part
        For each coded port whose encoders are on the bill, what these see: a sequence for each encoder.
    """

    sequences: OperandSequences
    units: NDArray[np.int64] = field(repr=False)
    skip: NDArray[np.int64] = field(repr=False)
    encoders: Mapping[str, Part] = field(default_factory=dict, repr=False)

    @property
    def first_transitions(self) -> NDArray[np.int64]:
        """The first transition of each sequence that belongs to the part, shape (S,)."""
        return np.maximum(self.skip, 1)

    @property
    def transitions(self) -> NDArray[np.int64]:
        """Transitions of each sequence that belong to the part, shape (S,)."""
        return np.maximum(self.sequences.sequence_cycles - self.first_transitions, 0)


@dataclass(frozen=True)
class LaneHolds:
    """How often lanes of a unit with hold flags store a weight, in one layer of one inference, summed over the units.

    Parameters
    ----------
    loads : tuple of float
        Cycles in which each lane's register is clocked.
    flag_toggles : float
        Toggles of the flags of all lanes.
    """

    loads: tuple[float, ...]
    flag_toggles: float


@dataclass(frozen=True)
class UnitWork:
    """How long the units of an array work for one layer in one inference, and what they share.

    Parameters
    ----------
    unit_cycles : int
        Cycles in which a unit has operands, summed over the units.
    array_cycles : int
        Consecutive cycles of the whole array.
    units : int
        Units of the array, including idle ones.
    weight_share, activation_share : float
        A unit's share of an operand register: 1 if every unit has its own, 1 / columns if the register serves all
        columns.
    weight_loads, activation_loads : int
        Cycles in which the operand's registers are clocked, summed over the units; held registers have their
        clock gated.
    weight_copies, activation_copies : float
        Operand registers in the array per unit, working or idle: 1, or 1 / columns if columns share them.
    holds : LaneHolds or None
        With hold flags, how often each lane's weight register is clocked, in place of `weight_loads`.
    """

    unit_cycles: int
    array_cycles: int
    units: int
    weight_share: float
    activation_share: float
    weight_loads: int
    activation_loads: int
    weight_copies: float
    activation_copies: float
    holds: LaneHolds | None = None


@dataclass(frozen=True, eq=False)
class Steps:
    """The units' work in lockstep: in each step, a pass of the same length in every active unit.

    Parameters
    ----------
    lengths : ndarray of int64, shape (Q,)
        Cycles of each step.
    active : ndarray of bool, shape (Q, U)
        Which units take part.
    starts : mapping of str to ndarray of int64, shape (Q, U)
        First row of each port in each pass.
    """

    lengths: NDArray[np.int64]
    active: NDArray[np.bool_]
    starts: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class PortContent:
    """Rows of a port, before they are assigned to passes."""

    words: NDArray[np.integer] = field(repr=False)
    bits: int
    stride: int
    delay: int = 0
    skew: bool = False


def assemble_part(
    steps: Steps,
    inputs: Mapping[str, PortContent],
    repeated_steps: int,
    registers: Mapping[str, PortContent] | None = None,
    drained: NDArray[np.bool_] | None = None,
    drain_cycles: int = 0,
) -> Part:
    """Assemble the passes of each unit from steps.

    Parameters
    ----------
    steps : Steps
        Steps, of which the first `repeated_steps` belong to the previous part.
    inputs : mapping of str to PortContent
        Rows of each input port.
    repeated_steps : int
        See `steps`.
    registers : mapping of str to PortContent, optional
        Contents of registers with feedback.
    drained : ndarray of bool, shape (U,), optional
        Units whose work ends with the part: their last operands stay until the pipeline has drained.
    drain_cycles : int
        How long that takes.

    Returns
    -------
    Part
        Units without a pass are left out.
    """
    working = np.flatnonzero(steps.active.any(axis=0))
    chosen = steps.active.T[working]  # (units, steps): row-major order is unit by unit
    lengths = np.broadcast_to(steps.lengths, chosen.shape)[chosen]
    before = chosen[:, :repeated_steps] @ steps.lengths[:repeated_steps]
    last = np.cumsum(chosen.sum(axis=1)) - 1
    ending = last[drained[working]] if drained is not None else last[:0]
    order = np.sort(np.concatenate((np.arange(len(lengths)), np.repeat(ending, drain_cycles))))
    is_drain = np.diff(order, prepend=-1) == 0

    def port(name: str, content: PortContent) -> PortRows:
        start = steps.starts[name].T[working][chosen][order] + is_drain * content.stride * (lengths[order] - 1)
        return PortRows(content.words, content.bits, start, content.stride, content.delay, content.skew)

    return Part(
        OperandSequences(
            lengths=np.where(is_drain, 1, lengths[order]),
            first_passes=np.searchsorted(order, np.concatenate(([0], last[:-1] + 1))),
            inputs={name: port(name, content) for name, content in inputs.items()},
            registers={name: port(name, content) for name, content in (registers or {}).items()},
        ),
        units=working,
        skip=before.astype(np.int64),
    )


def drain_cycles(datapath: Datapath) -> int:
    """Cycles until the last operands have passed through a unit without feedback.

    An accumulator would continue adding; what it does with its last operands is left out.
    """
    return 0 if datapath.traits.accumulates else datapath.latency + datapath.skew_cycles


def steps_to_repeat(active: Sequence[NDArray[np.bool_]], lengths: Sequence[int], cycles: int) -> int:
    """How many of the last steps a part has to repeat for every unit's registers to settle.

    Parameters
    ----------
    active : sequence of ndarray of bool, shape (U,)
        Which units took part in each step so far.
    lengths : sequence of int
        Cycles of each step.
    cycles : int
        Cycles that each unit has to see; units that never worked are ignored.

    Returns
    -------
    int
        All steps if some unit has seen fewer cycles.

    Examples
    --------
    >>> both, one = np.array([True, True]), np.array([True, False])
    >>> steps_to_repeat([both, both, one, one], [4, 4, 4, 4], 5)
    4
    """
    if not active:
        return 0
    missing = np.where(np.any(active, axis=0), cycles, 0)
    for count, (mask, length) in enumerate(zip(reversed(active), reversed(lengths), strict=True)):
        if (missing <= 0).all():
            return count
        missing = missing - mask * length
    return len(active)


def settling_cycles(datapath: Datapath) -> int:
    """Cycles after which every register without feedback depends only on the ports."""
    return datapath.latency + 2 + (datapath.lanes if datapath.traits.skewed else 0)
