"""What the weights of a layer cost as they stream, where transitions have a cost of their own."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.orders import LayerOrders
from fewflips.errors import InputError
from fewflips.formats.codes import Codes
from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.network.layer import Layer
from fewflips.streams.codes import weight_codes
from fewflips.streams.transition_cost import TransitionCost


def check_widths(network: Network, array: Accelerator, cost: TransitionCost) -> None:
    """Refuse a cost that is not for the codes of every layer: what a step between wider ones costs, it does not say.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine, whose number format says how wide codes are.
    cost : TransitionCost
        Cost of a transition.

    Raises
    ------
    InputError
        If the codes of a layer are wider or narrower than those of the cost.
    """
    for layer in network.layers:
        bits = weight_codes(layer, array.weights).bits
        if bits != cost.bits:
            raise InputError(
                f"cost of transitions: expected one for codes of {bits} bits, as weights of {layer} have on "
                f"{array.name}, got one for {cost.bits} bits; give a cost of that width, or set `bits` of the "
                "accelerator's weights"
            )


def weight_cost(
    layer: Layer, array: Accelerator, codes: Codes, segments: tuple[Segment, ...], cost: TransitionCost
) -> int:
    """Cost of a layer's weight stream within passes, each pass taken once, and of its sign flags.

    Parameters
    ----------
    layer : Layer
        The layer.
    array : Accelerator
        The machine.
    codes : Codes
        Its weights on the wires, shape (N, K).
    segments : tuple of Segment
        The order of each pass.
    cost : TransitionCost
        Cost of a transition.

    Returns
    -------
    int
        In the unit of `cost`; that of the codes, where the port is coded.
    """
    stream = dataflow_of(array).weight_stream(layer, codes.words, codes.bits, segments, array)
    bounds = pairwise((*stream.pass_starts.tolist(), len(stream.words)))
    changes = sum(int(np.count_nonzero(np.diff(segment.sign_flags))) for segment in segments)
    return sum(cost.along(stream.words[start:end]) for start, end in bounds) + changes * flag_cost(cost)


def flag_cost(cost: TransitionCost | None) -> int:
    """What a change of a word's sign flag costs: as much as a flip of its bits on average, 1 where flips are counted.

    Parameters
    ----------
    cost : TransitionCost or None
        Cost of a transition; None for flips.

    Returns
    -------
    int
        In the unit of `cost`, rounded.
    """
    return 1 if cost is None else round(cost.mean_per_flip)


def network_costs(network: Network, array: Accelerator, orders: LayerOrders, cost: TransitionCost) -> dict[str, int]:
    """:func:`weight_cost` of every layer, by its name; the codes of one layer are in memory at a time.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine.
    orders : mapping of str to tuple of Segment
        Segments of each layer, in the order in which their words stream.
    cost : TransitionCost
        Cost of a transition.

    Returns
    -------
    dict of str to int
        In the network's order.
    """
    return {
        layer.name: weight_cost(layer, array, weight_codes(layer, array.weights), orders[layer.name], cost)
        for layer in network.layers
    }
