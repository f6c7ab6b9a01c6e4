"""Bits that a network moves between the array and its buffers in one inference, counted from the loop nests.

Every word that enters or leaves the array is one access; nothing is kept between tiles but what the dataflow holds.
"""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass
from math import ceil

from fewflips.errors import InputError
from fewflips.machine import Accelerator
from fewflips.records.optimization import LayerResult

SRAM_PJ_PER_BIT = 0.156
"""An access of an 8 KB SRAM: 10 pJ for 64 bits (M. Horowitz, ISSCC 2014, figure 1.1.9)."""
OUTPUT_BITS = 8
"""Outputs are requantized before they are stored."""


@dataclass(frozen=True)
class Traffic:
    """Bits of one inference.

    Parameters
    ----------
    weights, activations, outputs : int
        Operands read, and results written.
    partial_sums : int
        Written after each pass over a segment but the last, read before each but the first.
    indices : int
        Of the schedule's table, read with the weights; not for a natural order.
    """

    weights: int = 0
    activations: int = 0
    outputs: int = 0
    partial_sums: int = 0
    indices: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def by_name(self) -> dict[str, int]:
        """Bits of each kind."""
        return asdict(self)


def microjoules(bits: int) -> float:
    """Energy of moving some bits."""
    return bits * SRAM_PJ_PER_BIT / 1e6


def layer_traffic(layer: LayerResult, machine: Accelerator, accumulator_bits: int, index_bits: int) -> Traffic:
    """Traffic of one layer.

    Parameters
    ----------
    layer : LayerResult
        Its dimensions: `m` output pixels, `n` output channels, `k` weights of each, `repeats` of its weight stream.
    machine : Accelerator
        Array and dataflow.
    accumulator_bits : int
        Width of partial sums.
    index_bits : int
        Size of its orders as a table; 0 for a natural order.

    Returns
    -------
    Traffic
        Of one inference.

    Raises
    ------
    InputError
        If the dataflow is not known here.
    """
    weights, activations = layer.weights.bits, 8
    depthwise = layer.groups > 1
    columns = layer.n if depthwise else ceil(layer.n / machine.columns)
    segments = ceil(layer.k / machine.lanes)
    spilled = 2 * (segments - 1) * layer.m * layer.n * accumulator_bits
    if machine.dataflow == "activation-stationary":
        loads = layer.n if depthwise else 1
        words = layer.n * layer.k * ceil(layer.m / machine.columns), layer.m * layer.k * loads
    elif machine.dataflow == "weight-stationary":
        words = layer.n * layer.k, layer.m * layer.k * columns
    elif machine.dataflow == "output-stationary":
        words = layer.n * layer.k * ceil(layer.m / machine.lanes), layer.m * layer.k * columns
        spilled = 0
    else:
        raise InputError(
            f"{layer.name}: expected a built-in dataflow, got {machine.dataflow}: its traffic is not known"
        )
    return Traffic(
        weights=words[0] * weights,
        activations=words[1] * activations,
        outputs=layer.m * layer.n * OUTPUT_BITS,
        partial_sums=spilled,
        indices=index_bits * layer.repeats,
    )
