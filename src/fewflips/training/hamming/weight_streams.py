"""How a layer's weights stream past an accelerator's datapath, as places in its weight matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fewflips.dataflows import dataflow_of
from fewflips.errors import AcceleratorError, InputError
from fewflips.formats.number_formats import StorageType
from fewflips.machine import Accelerator, load_accelerator
from fewflips.network.layer import Layer
from fewflips.network.lowering import Convolution2D
from fewflips.ordering import Effort, order_segments
from fewflips.streams.codes import weight_codes
from fewflips.streams.flips import stream_flips
from fewflips.streams.transition_cost import TransitionCost
from fewflips.training.hamming.options import HammingOptions, Method
from fewflips.training.weight_views import WeightView, weight_views
from fewflips.training.weight_views.fewflips_layers import FewflipsView

QUICK = Effort(
    rounds=1, ascent_iterations=5, kicks_per_node=0, least_kicks=0, neighbours=6, cut_rounds=0, branch_nodes=0
)
"""Work on the orders while training goes on: they change again, and are solved well when it is over."""


@dataclass(eq=False)
class WeightStream:
    """The words of one layer in the order in which they stream, segment by segment.

    T is the length of a segment's passes, L the number of its lanes.

    Parameters
    ----------
    view : WeightView
        The layer.
    places : tuple of ndarray of int64, shapes (T, L)
        For each segment, the place of each word in the flattened (N, K) weight matrix, in natural order.
    orders : list of ndarray of int64, shape (T,)
        The order of each segment.
    words : ndarray of uint8 or uint16, shape (V,)
        Code on the wires of each value from `low` to `high`.
    word_bits : int
        Width of such a code.
    """

    view: WeightView
    places: tuple[NDArray[np.int64], ...] = field(repr=False)
    orders: list[NDArray[np.int64]] = field(repr=False)
    words: NDArray[np.unsignedinteger] = field(repr=False)
    word_bits: int

    @property
    def transitions(self) -> int:
        """Word transitions of one pass through all segments."""
        return sum((block.shape[0] - 1) * block.shape[1] for block in self.places)

    @property
    def size(self) -> int:
        """Weights of the layer."""
        return sum(block.size for block in self.places)

    @property
    def is_depthwise(self) -> bool:
        """Whether the activations change with every word."""
        return self.view.groups > 1 and self.view.shape[1] == self.view.kernel_positions

    def ordered(self) -> list[NDArray[np.int64]]:
        """Places in streaming order, segments of one length side by side: for each length int64, shape (T, lanes)."""
        blocks: dict[int, list[NDArray[np.int64]]] = {}
        for order, block in zip(self.orders, self.places, strict=True):
            blocks.setdefault(len(order), []).append(block[order])
        return [np.concatenate(parts, axis=1) for parts in blocks.values()]

    def on_wires(self, codes: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
        """Words of integer codes of any shape."""
        return self.words[codes.astype(np.int64) - self.view.low]

    def segment_words(self, codes: NDArray[np.integer]) -> list[NDArray[np.unsignedinteger]]:
        """Words of each segment, shape (T, L), in natural order, from codes of shape (N, K)."""
        words = self.on_wires(codes.reshape(-1))
        return [words[block] for block in self.places]


def trained_streams(
    model: nn.Module,
    accelerator: str | Accelerator,
    options: HammingOptions,
    bits: int = 8,
    *,
    held: bool = False,
) -> tuple[list[WeightStream], Method]:
    """Streams of the layers whose weights the HD term moves, and the method that moves them.

    Parameters
    ----------
    model : nn.Module
        With layers in training.
    accelerator : str or Accelerator
        A built-in machine's name, a YAML file, or a machine.
    options : HammingOptions
        Which layers, and by which method.
    bits : int
        Width of the codes of plain PyTorch layers.
    held : bool
        Whether weights that do not follow one another count, too, as in a weight-stationary array.

    Returns
    -------
    list of WeightStream
        One or more, in natural order.
    str
        ``assignment`` where all layers are fewflips' own and no other method is asked for, else ``envelope``.

    Raises
    ------
    InputError
        If no layer fits `options`, or one does not fit the method.
    AcceleratorError
        If weights do not stream on that accelerator.
    """
    array = load_accelerator(accelerator) if isinstance(accelerator, str) else accelerator
    views = weight_views(model, bits=bits, include=options.include, exclude=options.exclude)
    streams = weight_streams([view for view in views if view.weight.requires_grad], array, held=held)
    if not streams:
        raise InputError("HammingLoss: expected a layer in training with two or more words to stream, got none")
    other = [stream.view for stream in streams if not isinstance(stream.view, FewflipsView)]
    method: Method = options.method or ("envelope" if other else "assignment")
    if method == "assignment" and other:
        raise InputError(
            f"layer {other[0].name} {other[0].shape}: method 'assignment' needs layers of "
            "fewflips.training.quantization.quantize, "
            f"got {type(other[0].module).__name__}; take 'envelope' or 'smoothed'"
        )
    return streams, method


def weight_streams(views: Sequence[WeightView], array: Accelerator, *, held: bool = False) -> list[WeightStream]:
    """How each layer streams, in natural order.

    Parameters
    ----------
    views : sequence of WeightView
        The layers.
    array : Accelerator
        Dataflow, lanes and the weights' number format.
    held : bool
        As for :func:`trained_streams`.

    Returns
    -------
    list of WeightStream
        One a layer that has more than one word to stream; with `held`, one a layer.

    Raises
    ------
    AcceleratorError
        If the weights stand still (a weight-stationary array), or the array does not hold their codes.
    """
    if held:
        return [_weight_stream(view, array) for view in views]
    if not dataflow_of(array).weights_stream:
        raise AcceleratorError(
            f"{array.name}: weights stand still in a weight-stationary array, so that their order costs little; "
            "expected an activation- or output-stationary accelerator for the HD term"
        )
    streams = [_weight_stream(view, array) for view in views]
    return [stream for stream in streams if stream.transitions]


def _weight_stream(view: WeightView, array: Accelerator) -> WeightStream:
    outputs, reduction = view.shape
    layer = layer_of(view, np.zeros((outputs, reduction), dtype=np.int8))
    places = np.arange(outputs * reduction, dtype=np.int64).reshape(outputs, reduction)
    segments = dataflow_of(array).segments(layer, array)
    blocks = [dataflow_of(array).segment_words(places, segment) for segment in segments]  # type: ignore[arg-type]
    values = np.arange(view.low, view.high + 1, dtype=np.int8).reshape(1, -1)
    words, bits = weight_codes(layer_of(view, values), array.weights)
    return WeightStream(
        view,
        tuple(block.astype(np.int64) for block in blocks),
        [np.arange(len(block), dtype=np.int64) for block in blocks],
        words.reshape(-1),
        bits,
    )


def layer_of(
    view: WeightView,
    weights: NDArray[np.int8],
    *,
    m: int = 1,
    activation_type: StorageType | None = None,
    activation_zero_point: int | None = None,
) -> Layer:
    """A layer in training, as everything that reads files sees it.

    Parameters
    ----------
    view : WeightView
        The layer.
    weights : ndarray of int8, shape (N, K)
        Integer codes.
    m : int
        Output pixels of one inference.
    activation_type : StorageType or None
        Type of its activations; None where they are not known.
    activation_zero_point : int or None
        The code of their 0.

    Returns
    -------
    Layer
        With these weights.
    """
    kernel = Convolution2D("NCHW", (view.kernel_positions, 1), (1, 1), (1, 1), (0, 0, 0, 0))
    return Layer.of_array(
        name=view.name,
        operator=type(view.module).__name__,
        weights=weights,
        weight_type=StorageType(view.bits, signed=True),
        weight_zero_points=np.zeros(weights.shape[0], dtype=np.int32),
        groups=view.groups,
        m=m,
        lowering=kernel,
        weights_tensor=view.name,
        input_tensor=None if activation_type is None else view.name,
        activation_type=activation_type,
        activation_zero_point=activation_zero_point,
    )


def solve_orders(
    streams: Sequence[WeightStream],
    codes: Sequence[NDArray[np.integer]],
    *,
    cost: TransitionCost | None = None,
    seed: int = 0,
    jobs: int = 1,
) -> None:
    """Order all segments anew for the present codes; an order changes only where its cost gets less.

    Parameters
    ----------
    streams : sequence of WeightStream
        Their `orders` are replaced.
    codes : sequence of ndarray of int16, shape (N, K)
        Integer codes of each layer.
    cost : TransitionCost, optional
        What a transition costs; flips without it.
    seed : int
        Of the solver.
    jobs : int
        Segments solved at a time; the result does not depend on it.
    """
    along = stream_flips if cost is None else cost.along
    words = [stream.segment_words(layer) for stream, layer in zip(streams, codes, strict=True)]
    segments = [segment for layer in words for segment in layer]
    found = iter(order_segments(segments, cost=cost, effort=QUICK, seed=seed, jobs=jobs))
    for stream, layer in zip(streams, words, strict=True):
        for i, segment in enumerate(layer):
            result = next(found)
            if result.flips < along(segment[stream.orders[i]]):
                stream.orders[i] = result.order
