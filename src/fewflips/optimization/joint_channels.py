"""Drop-in orders by both operands: one order for each group of tied channels, where activations stream in it, too.

A group's channels are outputs of one layer and inputs of the next, and weights stream along one of these two axes.
Activations follow them where a unit accumulates over k (output-stationary arrays), and in depthwise layers of
activation-stationary arrays, whose channels bring activations of their own. Elsewhere they stand still while weights
stream, or stream over pixels, and do not depend on the order. Each flip counts once for every multiplier that it
reaches in one inference: a weight's at every output pixel, an activation's at every output channel computed with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import dataflow_of
from fewflips.datapath.kinds import UNIT_KINDS
from fewflips.execution.activations import lowered_rows, measurable_layers, run_samples
from fewflips.execution.samples import Samples
from fewflips.formats.codes import Codes
from fewflips.formats.number_formats import INT16, UINT8
from fewflips.machine import Accelerator, Operand
from fewflips.network.channels import ChannelGroups, TiedAxis, tie_channels
from fewflips.network.graph import Network
from fewflips.network.layer import Layer
from fewflips.network.layouts import groups_in
from fewflips.network.lowering import Convolution2D
from fewflips.optimization.channel_orders import ChannelPlan, ChannelUse, channel_uses, streaming_axes
from fewflips.optimization.weight_costs import check_widths, weight_cost
from fewflips.ordering import Effort, PathResult, order_distances
from fewflips.ordering.metric import LARGEST_PATH
from fewflips.progress import Progress, counter
from fewflips.streams.codes import activation_codes, weight_codes
from fewflips.streams.flips import stream_flips
from fewflips.streams.transition_cost import TransitionCost


@dataclass(frozen=True, eq=False)
class FollowingActivations:
    """Activations of a layer that stream in the order of its weights, one word for each place of the order.

    Parameters
    ----------
    layer : Layer
        The layer, with these words in place of its weights: rows of samples and pixels by k, or output channels by the
        activations that each brings.
    words : ndarray of uint8 or uint16, shape (rows, K) or (N, samples x M x K)
        Codes.
    reached : int
        Multipliers that see a word.
    """

    layer: Layer
    words: NDArray[np.unsignedinteger] = field(repr=False)
    reached: int


def follows_order(layer: Layer, array: Accelerator) -> bool:
    """Whether a layer's activations change with every word of its weights.

    Parameters
    ----------
    layer : Layer
        The layer.
    array : Accelerator
        The machine.

    Returns
    -------
    bool
        True for layers of one group where units accumulate, and for depthwise ones where weights stream over channels.
    """
    flow = dataflow_of(array)
    if UNIT_KINDS[flow.unit(array)].accumulates:
        return layer.groups == 1
    return flow.held_operand == "activations" and flow.order_axis == "n" and layer.is_depthwise


def following_activations(
    network: Network, array: Accelerator, samples: Samples, progress: Progress | None = None
) -> dict[str, FollowingActivations]:
    """Activations that stream in the order of the weights, of all samples.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine.
    samples : Samples
        Inputs to run.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    dict of str to FollowingActivations
        By layer; others are left out.
    """
    layers = [layer for layer in measurable_layers(network) if follows_order(layer, array)]
    parts: dict[str, list[NDArray[np.unsignedinteger]]] = {layer.name: [] for layer in layers}
    if layers:
        for tensors in run_samples(network, samples, progress):
            for layer in layers:
                parts[layer.name].append(_words(layer, lowered_rows(layer, tensors), array))
    over_n = dataflow_of(array).order_axis == "n"
    found = {}
    for layer in layers:
        words = np.concatenate(parts.pop(layer.name), axis=1 if over_n else 0)
        found[layer.name] = FollowingActivations(_stand_in(layer, words), words, 1 if over_n else layer.n)
    return found


def plan_joint_channels(
    network: Network,
    array: Accelerator,
    samples: Samples,
    *,
    effort: Effort,
    seed: int,
    jobs: int,
    cost: TransitionCost | None = None,
    progress: Progress | None = None,
) -> ChannelPlan:
    """Choose an order for every group of tied channels that may move, by the flips of both operands.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine.
    samples : Samples
        Inputs whose activations count.
    effort : Effort
        Work limit of the solver.
    seed : int
        Of the solver.
    jobs : int
        Groups solved at a time.
    cost : TransitionCost, optional
        Cost of a transition of weights, in place of flips. A flip of an activation then costs what one of a weight does
        on average over all steps.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    ChannelPlan
        Orders that lower the counted sum of both operands over the layers that they touch; certificates are in the
        unit of each group's objective.

    Raises
    ------
    InputError
        If the codes of a layer are not as wide as those of `cost`.
    """
    if cost is not None:
        check_widths(network, array, cost)
    groups = tie_channels(network)
    sums = _Sums(network, array, groups, following_activations(network, array, samples, progress), samples, cost)
    finished = counter(progress, "ordering channels", len(sums.groups))
    certificates: dict[int, PathResult] = {}
    for group in sums.groups:
        distances = [sums.distances(group)]
        (certificates[group],) = order_distances(distances, effort=effort, seed=seed, jobs=jobs, progress=finished)
    flow, totals = dataflow_of(array), sums.of_layers({}, sums.layers)
    kept: dict[int, NDArray[np.int64]] = {}
    for group, result in certificates.items():
        touched = sums.touched(group)
        chains = max(flow.chains(layer, array) for layer, _ in touched)
        orders = {**kept, group: flow.order_from_path(result.order, chains)}
        changed = sums.of_layers(orders, touched)
        if sum(changed.values()) < sum(totals[name] for name in changed):
            kept = orders
            totals.update(changed)
    return ChannelPlan(groups, kept, certificates)


class _Sums:
    """Distances between channels, and the sums that they stand for, over all samples."""

    def __init__(
        self,
        network: Network,
        array: Accelerator,
        groups: ChannelGroups,
        activations: Mapping[str, FollowingActivations],
        samples: Samples,
        cost: TransitionCost | None,
    ) -> None:
        self._array, self._tied, self._activations, self._cost = array, groups, activations, cost
        self._samples = len(samples.feeds)
        self._price = 1 if cost is None else max(1, round(cost.mean_per_flip))
        self.layers = streaming_axes(network, array, groups)
        plain = array.model_copy(update={"weights": Operand()})
        self._weights: dict[int, list[tuple[int, ChannelUse]]] = {}
        self._following: dict[int, list[tuple[int, ChannelUse]]] = {}
        for layer in network.layers:
            _add(self._weights, channel_uses(replace(network, layers=(layer,)), array, groups), layer.m)
            if (found := activations.get(layer.name)) is not None:
                stand_in = replace(network, layers=(found.layer,))
                _add(self._following, channel_uses(stand_in, plain, groups), found.reached)
        self.groups = sorted(self._weights)

    def distances(self, group: int) -> NDArray[np.int64]:
        """Flips between each pair of a group's channels, or what they cost, in a unit that the solver takes."""
        channels = self._tied.sizes[group]
        total = np.zeros((channels, channels), dtype=np.int64)
        for reached, use in self._weights[group]:
            words = use.words
            cost = self._cost or TransitionCost.flips(8 * words.itemsize)
            total += self._samples * reached * cost.distances(words)
        for reached, use in self._following.get(group, ()):
            words = use.words
            total += self._price * reached * TransitionCost.flips(8 * words.itemsize).distances(words)
        most = min(LARGEST_PATH // max(channels, 1), np.iinfo(np.int32).max)
        return total // (1 + int(total.max(initial=0)) // most)

    def touched(self, group: int) -> list[tuple[Layer, TiedAxis]]:
        """Layers on whose streamed axis a group has channels."""
        return [(layer, tied) for layer, tied in self.layers if group in groups_in(tied.layout)]

    def of_layers(
        self, orders: Mapping[int, NDArray[np.int64]], layers: Sequence[tuple[Layer, TiedAxis]]
    ) -> dict[str, int]:
        """The sum of both operands' flips, or costs, in each layer with its channels in some orders."""
        return {layer.name: self._of_layer(layer, tied, orders) for layer, tied in layers}

    def _of_layer(self, layer: Layer, tied: TiedAxis, orders: Mapping[int, NDArray[np.int64]]) -> int:
        array, flow = self._array, dataflow_of(self._array)
        index = self._tied.axis_index(tied.layout, orders)
        codes = weight_codes(layer, array.weights)
        moved = Codes(_with_axis_moved(layer, codes.words, tied, index), codes.bits)
        cost = self._cost or TransitionCost.flips(codes.bits)
        passes = weight_cost(layer, array, moved, flow.segments(layer, array), cost)
        total = self._samples * layer.m * passes
        found = self._activations.get(layer.name)
        if found is not None:
            words = _with_axis_moved(layer, found.words, tied, index)
            in_time = words if tied.follows == "output" else words.T
            total += self._price * found.reached * stream_flips(np.ascontiguousarray(in_time))
        return total


def _add(
    found: dict[int, list[tuple[int, ChannelUse]]], uses: Mapping[int, Sequence[ChannelUse]], reached: int
) -> None:
    """Note the uses of a layer, each with the multipliers that a word reaches."""
    for group, of_layer in uses.items():
        found.setdefault(group, []).extend((reached, use) for use in of_layer)


def _words(layer: Layer, rows: NDArray[np.integer], array: Accelerator) -> NDArray[np.unsignedinteger]:
    """A sample's activations, as :class:`FollowingActivations` has them."""
    codes = activation_codes(layer, rows, array.activations).words
    if dataflow_of(array).order_axis != "n":
        return codes[0]
    groups = np.arange(layer.n) // (layer.n // layer.groups)
    return codes[groups].reshape(layer.n, -1)


def _stand_in(layer: Layer, words: NDArray[np.unsignedinteger]) -> Layer:
    """The layer with activations in place of weights: their channels are where its weights' are."""
    wide = words.dtype != np.uint8
    return Layer.of_array(
        name=layer.name,
        operator=layer.operator,
        weights=words.view(np.int16) if wide else words,
        weight_type=INT16 if wide else UINT8,
        weight_zero_points=np.zeros(len(words), dtype=np.int32),
        groups=len(words) if layer.is_depthwise else 1,
        m=layer.m,
        lowering=layer.lowering,
        weights_tensor=layer.weights_tensor,
    )


def _with_axis_moved(
    layer: Layer, words: NDArray[np.unsignedinteger], tied: TiedAxis, index: NDArray[np.int64]
) -> NDArray[np.unsignedinteger]:
    """Rows of words with the streamed axis in another order: the rows themselves, or the channels within each."""
    if tied.follows == "output":
        return words[index]
    positions = layer.lowering.kernel_positions
    if isinstance(layer.lowering, Convolution2D) and layer.lowering.layout == "NHWC":
        return words.reshape(len(words), positions, -1)[:, :, index].reshape(words.shape)
    return words.reshape(len(words), -1, positions)[:, index].reshape(words.shape)
