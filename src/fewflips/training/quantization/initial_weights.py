"""Starts quantization-aware training from an exported network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import nn

from fewflips.errors import InputError
from fewflips.network.onnx.file import OnnxFile
from fewflips.training.networks.blocks import ConvBlock, ImageClassifier
from fewflips.training.quantization.quantized_layers import (
    LEVELS,
    ActivationQuantizer,
    QuantizedConv,
    QuantizedWeight,
    quantized_weights,
)
from fewflips.training.quantization.weight_scales import weight_scale

LARGEST_SCALE = 1e30
"""Scales this large make weights or activations infinite in float32."""

_INTEGERS = (TensorProto.INT4, TensorProto.UINT4, TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32)
_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)


@torch.no_grad()
def load_onnx_weights(network: ImageClassifier, onnx_path: str | Path) -> None:
    """Fill a quantized network with the weights, biases, scales and ranges of an exported one.

    If the network has fewer bits than the file, the scales of the weights are recomputed. Activation ranges start from
    those of the file and keep moving in training until they are frozen.

    Parameters
    ----------
    network : ImageClassifier
        From :func:`~fewflips.training.quantization.quantize.quantize`; modified in place.
    onnx_path : str or Path
        A file that :func:`~fewflips.training.export.onnx_export.to_onnx` made.

    Raises
    ------
    ModelError
        If the file cannot be read or is damaged.
    InputError
        If its architecture differs; the message names the first such layer, and the network is unchanged.
    """
    source = _Source(OnnxFile(Path(onnx_path)))
    layers = quantized_weights(network)
    if not layers:
        raise InputError("initial weights: expected a quantized network, got a float one; call quantize() first")
    quantizers = _quantizers(network)
    source.check_architecture(layers, list(quantizers))
    for name, quantizer in quantizers.items():
        frozen = quantizer.frozen
        quantizer.start(*source.range(name))
        quantizer.frozen = frozen
    for name, layer in layers.items():
        source.fill(name, layer)


class _Source:
    """The parameters of an exported network, by their exported names."""

    def __init__(self, file: OnnxFile) -> None:
        self._file = file
        self._nodes = {node.name: node for node in file.nodes}

    def check_architecture(self, layers: dict[str, QuantizedWeight], quantizers: list[str]) -> None:
        """Compare shapes and strides of all layers."""
        theirs = [name.removesuffix(".weight.codes") for name in self._file.constants if name.endswith(".weight.codes")]
        for name, layer in layers.items():
            ours = list(layer.weight.shape)
            if name not in theirs:
                raise self._differs(f"layer '{name}' of shape {ours} is not in the file")
            found = list(self._file.constants[f"{name}.weight.codes"].shape)
            if found != ours:
                raise self._differs(f"layer '{name}': expected weights of shape {ours}, got {found}")
            if isinstance(layer, QuantizedConv) and self._strides(name) != layer.stride:
                raise self._differs(
                    f"layer '{name}' of shape {ours}: expected strides {layer.stride}, got {self._strides(name)}"
                )
            self._check(f"{name}.weight.codes", tuple(ours), "integers")
            self._check(f"{name}.bias.codes", (ours[0],), "integers")
            for part in ("weight.scale", "bias.scale"):
                self._check(f"{name}.{part}", (ours[0],), "floats")
                scale = self._values(f"{name}.{part}").astype(np.float64)
                if not ((scale > 0) & (scale < LARGEST_SCALE)).all():
                    raise self._differs(f"layer '{name}' of shape {ours}: expected positive numbers as its {part}")
        surplus = next((name for name in theirs if name not in layers), None)
        if surplus is not None:
            shape = list(self._file.constants[f"{surplus}.weight.codes"].shape)
            raise self._differs(f"layer '{surplus}' of shape {shape} is not in the network")
        for name in quantizers:
            self._check(f"{name}.scale", (), "floats")
            self._check(f"{name}.zero_point", (), "integers")
            self.range(name)

    def range(self, name: str) -> tuple[float, float]:
        """Ends of the range with exactly the file's scale and zero point."""
        scale, zero_point = np.float32(self._values(f"{name}.scale")), int(self._values(f"{name}.zero_point"))
        if not 0 < scale < LARGEST_SCALE:
            raise self._differs(f"expected a positive scale of '{name}', got {scale}")
        if not 0 <= zero_point <= LEVELS:
            raise self._differs(f"expected a zero point of '{name}' from 0 to {LEVELS}, got {zero_point}")
        return range_of(scale, zero_point)

    def fill(self, name: str, layer: QuantizedWeight) -> None:
        """Set weight, scale and bias of a layer."""
        codes = torch.from_numpy(self._values(f"{name}.weight.codes").astype(np.float32))
        scale = torch.from_numpy(self._values(f"{name}.weight.scale").astype(np.float32))
        weight = codes * scale.view(-1, *[1] * (codes.ndim - 1))
        if int(codes.abs().max()) > layer.peak:
            scale = weight_scale(weight, layer.bits)
        bias = self._values(f"{name}.bias.codes").astype(np.float64) * self._values(f"{name}.bias.scale")
        layer.weight.copy_(weight)
        layer.weight_scale.copy_(scale)
        layer.bias.copy_(torch.from_numpy(bias.astype(np.float32)))
        layer.code_shift = None

    def _strides(self, name: str) -> tuple[int, ...]:
        node = self._nodes.get(name)
        return (1, 1) if node is None else node.integers("strides") or (1, 1)

    def _check(self, name: str, shape: tuple[int, ...], kind: Literal["integers", "floats"]) -> None:
        constant = self._file.constants.get(name)
        if constant is None or constant.shape != shape:
            got = "none" if constant is None else f"one of shape {list(constant.shape)}"
            raise self._differs(f"expected a constant '{name}' of shape {list(shape)}, got {got}")
        if constant.element_type not in (_INTEGERS if kind == "integers" else _FLOATS):
            raise self._differs(
                f"expected {kind} as constant '{name}', got others (ONNX element type {constant.element_type})"
            )

    def _values(self, name: str) -> NDArray[Any]:
        return self._file.values(self._file.constants[name])

    def _differs(self, detail: str) -> InputError:
        return InputError(
            f"{self._file.path}: not the network that is configured: {detail}; give a file that fewflips exported from "
            "the same architecture and width"
        )


def range_of(scale: np.float32, zero_point: int) -> tuple[float, float]:
    """Ends of an activation range whose scale is exactly the given one, if there is such a range.

    Parameters
    ----------
    scale : float32
        Step of the grid, positive.
    zero_point : int
        Code of 0, 0 to 255.

    Returns
    -------
    low, high : float
        The ends, each a float32.
    """
    nearest = np.float32(-zero_point * scale)
    spans = _with_neighbours(np.float32(LEVELS * scale))
    for low in _with_neighbours(nearest) if zero_point else (nearest,):
        for span in spans:
            high = np.float32(np.float64(span) + np.float64(low))
            if np.float32(high - low) / np.float32(LEVELS) == scale:
                return float(low), float(high)
    return float(nearest), float(np.float32((LEVELS - zero_point) * scale))


def _with_neighbours(value: np.float32) -> tuple[np.float32, np.float32, np.float32]:
    return value, np.nextafter(value, np.float32(np.inf)), np.nextafter(value, np.float32(-np.inf))


def _quantizers(network: nn.Module) -> dict[str, ActivationQuantizer]:
    """Quantizers by the exported names of their parameters."""
    result = {}
    for name, module in network.named_modules():
        if isinstance(module, ActivationQuantizer):
            parent, _, last = name.rpartition(".")
            in_block = isinstance(network.get_submodule(parent), ConvBlock)
            result[f"{parent}.add.output" if in_block else name if last == "output" else f"{name}.output"] = module
    return result
