"""Orders by the flips of both operands, where activations follow the order of the weights.

On an output-stationary array weights and activations stream over k in one order; in a depthwise layer of an
activation-stationary array every output channel brings its own activations. A step of such an order flips weights,
which are known, and activations, which are known of sample inputs. Each flip is counted once for every multiplier that
it reaches in one inference: a weight's at every output pixel, an activation's at every output channel that is computed
at the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.orders import LayerOrders
from fewflips.execution.activations import lowered_rows, measurable_layers, run_samples
from fewflips.execution.samples import Samples
from fewflips.formats.codes import Codes
from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.network.layer import Layer
from fewflips.optimization.segment_orders import Certificate
from fewflips.ordering import Effort, PathResult, order_distances
from fewflips.ordering.metric import LARGEST_PATH
from fewflips.progress import Progress, counter
from fewflips.streams.codes import activation_codes, weight_codes
from fewflips.streams.counting import count_flips
from fewflips.streams.flips import pairwise_distances

LARGEST_DISTANCE = np.iinfo(np.int32).max
"""Of two indices, as the solver takes it."""


@dataclass(frozen=True)
class JointCount:
    """Flips at the inputs of a layer's multipliers, summed over all sample inputs.

    Parameters
    ----------
    before, after : float
        Seams included, in the orders that were given and in those that were chosen.
    within_before, within_after : int
        Within passes.
    certificate : Certificate
        No orders of these segments have fewer within passes. Proven segments are within one flip of their bound.
    """

    before: float
    after: float
    within_before: int
    within_after: int
    certificate: Certificate


@dataclass(frozen=True, eq=False)
class JointPlan:
    """Orders of all layers, and for those whose activations follow the order how good they are."""

    orders: dict[str, tuple[Segment, ...]] = field(repr=False)
    counts: dict[str, JointCount] = field(repr=False)


def plan_joint_orders(
    network: Network,
    array: Accelerator,
    orders: LayerOrders,
    samples: Samples,
    *,
    effort: Effort,
    seed: int,
    jobs: int,
    progress: Progress | None = None,
) -> JointPlan:
    """Order every segment for both operands, where activations follow its order.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine.
    orders : mapping of str to tuple of Segment
        Orders to begin with: segments keep theirs unless others have fewer flips, and so do layers, seams included.
    samples : Samples
        Sample inputs, whose activations are counted.
    effort : Effort
        Work limit of the solver.
    seed : int
        Of the solver.
    jobs : int
        Segments solved at a time.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    JointPlan
        Other layers keep their orders and have no count.
    """
    following = [layer for layer in measurable_layers(network) if _follows(layer, array, orders[layer.name])]
    distances: dict[str, list[NDArray[np.int64]]] = {}
    for tensors in run_samples(network, samples, progress):
        for layer in following:
            found = _activation_distances(layer, array, orders[layer.name], tensors)
            known = distances.get(layer.name)
            distances[layer.name] = found if known is None else [a + b for a, b in zip(known, found, strict=True)]
    finished = counter(progress, "ordering segments", sum(len(orders[layer.name]) for layer in following))
    chosen, bounds = {name: tuple(segments) for name, segments in orders.items()}, {}
    for layer in following:
        instances = _Instances(layer, array, orders[layer.name], distances.pop(layer.name), len(samples.feeds))
        results = order_distances(instances, effort=effort, seed=seed, jobs=jobs, progress=finished)
        chosen[layer.name], bounds[layer.name] = _chosen(orders[layer.name], instances, results)
    counted = _counted(network, array, following, (orders, chosen), samples, progress)
    counts = {}
    for layer in following:
        before, after = counted[layer.name]
        within_before, within_after, certificate = bounds[layer.name]
        if after >= before:
            chosen[layer.name], after, within_after = tuple(orders[layer.name]), before, within_before
        counts[layer.name] = JointCount(before, after, within_before, within_after, certificate)
    return JointPlan(chosen, counts)


def _follows(layer: Layer, array: Accelerator, segments: tuple[Segment, ...]) -> bool:
    """Whether activations of a layer change with the order of its segments."""
    nothing = np.zeros((layer.groups, 0, layer.k), dtype=np.uint8)
    return bool(segments) and dataflow_of(array).moving_activations(layer, nothing, segments[0]) is not None


def _activation_distances(
    layer: Layer, array: Accelerator, segments: tuple[Segment, ...], tensors: Mapping[str, NDArray[Any]]
) -> list[NDArray[np.int64]]:
    """For each group of equal segments (see :func:`_key`), flips between all pairs of its indices in rising order."""
    codes = activation_codes(layer, lowered_rows(layer, tensors), array.activations)
    found: dict[tuple[object, ...], NDArray[np.int64]] = {}
    for segment in segments:
        key = _key(layer, array, segment)
        if key not in found:
            words = dataflow_of(array).moving_activations(layer, codes.words, _rising(segment))
            assert words is not None
            found[key] = pairwise_distances(words).astype(np.int64)
    return list(found.values())


def _key(layer: Layer, array: Accelerator, segment: Segment) -> tuple[object, ...]:
    """Segments of equal key see the same activations: the same lanes and channels, or channels of the same group."""
    if dataflow_of(array).lanes_axis == "n":
        return (int(segment.lanes[0]) // (layer.n // layer.groups),)
    return tuple(segment.lanes.tolist()), tuple(np.sort(segment.order).tolist())


def _rising(segment: Segment) -> Segment:
    return Segment(segment.lanes, np.sort(segment.order))


class _Instances(Sequence[NDArray[np.int64]]):
    """Distances of both operands for each segment, made when they are asked for; indices in rising order."""

    def __init__(
        self,
        layer: Layer,
        array: Accelerator,
        segments: tuple[Segment, ...],
        activations: list[NDArray[np.int64]],
        samples: int,
    ) -> None:
        self._layer, self._array, self._segments = layer, array, segments
        keys = [_key(layer, array, segment) for segment in segments]
        places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        self._activations = [activations[places[key]] for key in keys]
        self._samples = samples
        self._codes: Codes = weight_codes(layer, array.weights)
        longest = max(len(segment.order) for segment in segments)
        most = max(int(matrix.max(initial=0)) for matrix in activations) * array.columns
        most += samples * layer.m * self._codes.bits * max(len(segment.lanes) for segment in segments)
        self.unit = 1 + most // min(LARGEST_PATH // longest, LARGEST_DISTANCE)

    def __len__(self) -> int:
        return len(self._segments)

    def __getitem__(self, index: Any) -> Any:
        return self.exact(index) // self.unit

    def exact(self, index: int) -> NDArray[np.int64]:
        """Flips between each two indices, all samples together; instances have them in units that the solver takes."""
        segment, flow = _rising(self._segments[index]), dataflow_of(self._array)
        weights = pairwise_distances(flow.segment_words(self._codes.words, segment)).astype(np.int64)
        reached = len(segment.lanes) if flow.lanes_axis == "n" else 1
        return self._samples * self._layer.m * weights + reached * self._activations[index]


def _chosen(
    segments: tuple[Segment, ...], instances: _Instances, results: list[PathResult]
) -> tuple[tuple[Segment, ...], tuple[int, int, Certificate]]:
    """Each segment in the order of fewer flips; flips within passes before and after, and the bound."""
    chosen, before, after, bounds, proven = [], 0, 0, 0, 0
    for index, (segment, result) in enumerate(zip(segments, results, strict=True)):
        rising, distances = np.sort(segment.order), instances.exact(index)
        places = np.searchsorted(rising, segment.order)
        given, found = (int(distances[path[:-1], path[1:]].sum()) for path in (places, result.order))
        bound = instances.unit * result.lower_bound
        chosen.append(Segment(segment.lanes, rising[result.order]) if found < given else segment)
        before, after, bounds = before + given, after + min(given, found), bounds + bound
        proven += min(given, found) - bound < 1
    return tuple(chosen), (before, after, Certificate(len(segments), proven, bounds))


def _counted(
    network: Network,
    array: Accelerator,
    layers: list[Layer],
    variants: tuple[LayerOrders, LayerOrders],
    samples: Samples,
    progress: Progress | None,
) -> dict[str, list[float]]:
    """Flips of each layer at its multipliers in each set of orders, on the streams of both ports, seams included."""
    found = {layer.name: [0.0, 0.0] for layer in layers}
    for tensors in run_samples(network, samples, progress):
        for layer in layers:
            activations = activation_codes(layer, lowered_rows(layer, tensors), array.activations)
            for variant, orders in enumerate(variants):
                flips = joint_flips(layer, array, orders[layer.name], activations)
                found[layer.name][variant] += flips
    return found


def joint_flips(layer: Layer, array: Accelerator, segments: tuple[Segment, ...], activations: Codes) -> float:
    """Flips of both ports in one inference, each as often as there are multipliers that it reaches.

    Parameters
    ----------
    layer : Layer
        The layer.
    array : Accelerator
        The machine.
    segments : tuple of Segment
        The order of each pass.
    activations : Codes
        Activations on the wires, shape (G, M, K).

    Returns
    -------
    float
        Seams included; a port's flips reach the mean number of units that share its words.
    """
    flow = dataflow_of(array)
    shares = flow.unit_work(layer, segments, array.model_copy(update={"forwarding": "broadcast"}))
    weights = flow.weight_stream(layer, *weight_codes(layer, array.weights), segments, array)
    moved = flow.activation_stream(layer, *activations, segments, array)
    return count_flips(weights).total / shares.weight_share + count_flips(moved).total / shares.activation_share
