"""The kinds of arithmetic units, and what tells them apart; :mod:`fewflips.datapath.design` describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["multiplier", "mac", "column", "chain"]
"""Which arithmetic unit."""


@dataclass(frozen=True)
class UnitKind:
    """What one kind of unit does, for everything that treats kinds differently.

    Parameters
    ----------
    output : str
        Its output port.
    latency : int
        Cycles from the operands at the ports to the output, without product registers (of the last lane, in a chain).
    clocked : bool
        Whether it has registers, and an accumulator of a width of its own.
    many_lanes : bool
        Whether it multiplies several pairs a cycle.
    has_adder : bool
        Whether it adds the products of all lanes at once: by an adder to choose, with product registers or without.
    takes_partial_sum : bool
        Whether it can add a partial sum from outside.
    accumulates : bool
        Whether it adds to its own output until it is cleared.
    skewed : bool
        Whether lane l's operands come l cycles after those of lane 0.
    title : str
        What it is called in its Verilog; ``{lanes}`` stands for the number of lanes.
    words : str
        What it is called in reports, likewise.
    """

    output: str
    latency: int
    clocked: bool
    many_lanes: bool
    has_adder: bool
    takes_partial_sum: bool
    accumulates: bool
    skewed: bool
    title: str
    words: str


UNIT_KINDS: Mapping[Kind, UnitKind] = {
    "multiplier": UnitKind(
        output="product",
        latency=0,
        clocked=False,
        many_lanes=False,
        has_adder=False,
        takes_partial_sum=False,
        accumulates=False,
        skewed=False,
        title="Multiplier",
        words="multiplier",
    ),
    "mac": UnitKind(
        output="accumulator",
        latency=2,
        clocked=True,
        many_lanes=False,
        has_adder=False,
        takes_partial_sum=False,
        accumulates=True,
        skewed=False,
        title="Output-stationary multiply-accumulate unit",
        words="multiply-accumulate unit, output stationary",
    ),
    "column": UnitKind(
        output="sum",
        latency=2,
        clocked=True,
        many_lanes=True,
        has_adder=True,
        takes_partial_sum=True,
        accumulates=False,
        skewed=False,
        title="Activation-stationary column, {lanes} lanes",
        words="column of {lanes} lanes, activations held",
    ),
    "chain": UnitKind(
        output="sum",
        latency=2,
        clocked=True,
        many_lanes=True,
        has_adder=False,
        takes_partial_sum=True,
        accumulates=False,
        skewed=True,
        title="Weight-stationary systolic chain, {lanes} processing elements",
        words="systolic chain of {lanes} elements, weights held",
    ),
}
"""By the name that designs, records and dataflows give."""
