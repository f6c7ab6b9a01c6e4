"""What layers in training are given in a forward pass: output pixels, and activations as codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fewflips.training.quantization.quantized_layers import QuantizedWeight
from fewflips.training.weight_views import WeightView

IMAGES = 4
"""Inputs of a batch that are looked at: their pixels are many."""
LEVELS = 255
"""Activations are seen as uint8 codes."""


@dataclass(frozen=True, eq=False)
class ObservedInput:
    """What one layer was given.

    M is the number of output pixels of one inference, K that of weights of an output channel.

    Parameters
    ----------
    pixels : int
        M.
    zero_point : int
        Code of 0.
    rows : ndarray of uint8, shape (groups, images * M, K)
        Activations of each output pixel, image after image.
    """

    pixels: int
    zero_point: int
    rows: NDArray[np.uint8] = field(repr=False)


class InputObserver:
    """Looks at the inputs of layers in the next forward pass, and then no more.

    Parameters
    ----------
    views : sequence of WeightView
        The layers.

    Attributes
    ----------
    found : dict of int to ObservedInput
        What was seen, by the number of the layer.
    """

    def __init__(self, views: Sequence[WeightView]) -> None:
        self.found: dict[int, ObservedInput] = {}
        self._handles = [self._watch(index, view) for index, view in enumerate(views)]

    def _watch(self, index: int, view: WeightView) -> Any:
        known, seen = ref(self), ref(view)  # a hook that held them would keep the layer alive for ever

        def note(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            observer, layer = known(), seen()
            if observer is not None and layer is not None and index not in observer.found:
                observer.found[index] = observed_input(layer, getattr(inputs[0], "value", inputs[0]))

        return view.module.register_forward_pre_hook(note)

    def close(self) -> None:
        """Look at no more inputs."""
        for handle in self._handles:
            handle.remove()


@torch.no_grad()
def observed_input(view: WeightView, given: Tensor) -> ObservedInput:
    """A layer's input as codes.

    The codes are those of the layer's own input quantizer where it is one of fewflips; otherwise those of a grid of 256
    steps from the least to the greatest value (and 0).

    Parameters
    ----------
    view : WeightView
        The layer.
    given : Tensor
        Its input: (B, ..., K) of a linear layer, (B, C, spatial dimensions) of a convolution.

    Returns
    -------
    ObservedInput
        Of the first images of the batch.
    """
    batch = given[:IMAGES].detach().float()
    codes, zero_point = _codes(view.module, batch)
    rows = _rows(view, codes, zero_point)
    return ObservedInput(rows.shape[1] // len(batch), zero_point, rows)


def _codes(module: nn.Module, values: Tensor) -> tuple[Tensor, int]:
    """Codes as float32, of the values' shape, and the code of 0."""
    quantizer = module.input_quantizer if isinstance(module, QuantizedWeight) else None
    if quantizer is not None:
        scale, zero = quantizer.scale_and_zero_point()
        step, zero_point = float(scale), int(zero)
    else:
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        step = (high - low) / LEVELS or 1.0
        zero_point = round(-low / step)
    return (values / step).round_().add_(zero_point).clamp_(0, LEVELS).nan_to_num_(0.0), zero_point


def _rows(view: WeightView, codes: Tensor, zero_point: int) -> NDArray[np.uint8]:
    """What each output pixel multiplies, shape (groups, images * M, K)."""
    groups, reduction = view.groups, view.shape[1]
    module: Any = view.module
    stride = getattr(module, "stride", None)
    if stride is None:
        return codes.reshape(1, -1, reduction).byte().cpu().numpy()
    window = module.weight.shape[2:]
    padded = functional.pad(codes, _padding(module, len(window)), value=float(zero_point))
    dilation = getattr(module, "dilation", (1,) * len(window))
    for axis, (size, step, apart) in enumerate(zip(window, stride, dilation, strict=True), start=2):
        reach = apart * (size - 1) + 1
        padded = padded.unfold(axis, reach, step)[..., ::apart]
    images, channels = padded.shape[:2]
    pixels = padded[0, 0].numel() // int(np.prod(window))
    taken = padded.reshape(images, groups, channels // groups, pixels, -1).permute(1, 0, 3, 2, 4)
    return taken.reshape(groups, images * pixels, reduction).byte().cpu().numpy()


def _padding(module: Any, axes: int) -> list[int]:
    """Margins as :func:`torch.nn.functional.pad` takes them: the last axis first."""
    if module.padding == "same":
        dilation = getattr(module, "dilation", (1,) * axes)
        totals = [apart * (size - 1) for apart, size in zip(dilation, module.weight.shape[2:], strict=True)]
        return [margin for total in reversed(totals) for margin in (total // 2, total - total // 2)]
    margins = (0,) * axes if module.padding == "valid" else tuple(module.padding)
    return [margin for size in reversed(margins) for margin in (size, size)]
