"""The small networks of the tutorials: `python -m scripts.example_networks [FOLDER]`.

Draws circles, squares, triangles and crosses, 16 x 16 pixels in noise; trains a network of five layers to tell them
apart; quantizes it to 8 bits; and writes it twice, as ONNX (QDQ, uint8 activations) and as TFLite (int8 activations),
each with sample inputs. The files lie in docs/tutorials/files.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from onnx import TensorProto
from tests.network.build_onnx import QDQ
from tests.network.build_tflite import CONV, DENSE, DEPTHWISE, SAME, TFLiteBuilder, _options
from torch import nn

from fewflips.files.atomic import atomic_write

FOLDER = Path(__file__).parent.parent / "docs" / "tutorials" / "files"
SHAPES = ("circle", "square", "triangle", "cross")
SIZE = 16
EDGES = (0, 1, 0, 1)
"""Pixels added left, right, above and below before a stride of 2, as TFLite's padding SAME has it."""

SAMPLES = 8


@dataclass(frozen=True)
class Quantized:
    """A layer in integers: weights (N, C, H, W), bias, and the scales of weights, input and output."""

    name: str
    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    scales: NDArray[np.float64]
    input_scale: float
    output_scale: float
    stride: int
    depthwise: bool


def drawn_shapes(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images of shape (count, 16, 16), and which shape each is: an index of SHAPES."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, len(SHAPES), count)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    images = np.empty((count, SIZE, SIZE))
    for image, label in zip(images, labels, strict=True):
        y, x = generator.uniform(6, 10, 2)
        radius = generator.uniform(3, 6)
        down, across = rows - y, np.abs(columns - x)
        inside = {
            "circle": down**2 + across**2 < radius**2,
            "square": np.maximum(np.abs(down), across) < 0.8 * radius,
            "triangle": (np.abs(down) < radius) & (across < (down + radius) / 2),
            "cross": (np.minimum(np.abs(down), across) < 0.3 * radius) & (np.maximum(np.abs(down), across) < radius),
        }[SHAPES[label]]
        image[:] = generator.uniform(100, 220) * inside
    noisy = images + generator.normal(20, 12, images.shape)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8), labels


def trained() -> nn.Sequential:
    """The network in floating point; the dense layer is a convolution as large as its input."""
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.ZeroPad2d(EDGES), nn.Conv2d(1, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 32, 1), nn.ReLU()),
        *(nn.ZeroPad2d(EDGES), nn.Conv2d(32, 32, 3, 2, groups=32), nn.ReLU(), nn.Conv2d(32, 32, 1), nn.ReLU()),
        nn.Conv2d(32, 4, 4),
    )
    images, labels = drawn_shapes(2000, seed=1)
    x, y = torch.from_numpy(images[:, None] / np.float32(256)), torch.from_numpy(labels)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3, weight_decay=1e-4)
    for _ in range(10):
        for part in torch.randperm(len(x)).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[part]).flatten(1), y[part]).backward()
            optimizer.step()
    return network


def quantized(network: nn.Sequential) -> list[Quantized]:
    """Layers in 8 bits: weights symmetric with a scale for each output channel, activations by their largest value."""
    x = torch.from_numpy(drawn_shapes(500, seed=2)[0][:, None] / np.float32(256))
    layers, input_scale = [], 1 / 256
    names = iter(("stem", "expand", "depthwise", "project", "classify"))
    for number, module in enumerate(network):
        x = module(x).detach()
        if not isinstance(module, nn.Conv2d):
            continue
        last = number == len(network) - 1
        output_scale = float(x.abs().max()) / (127 if last else 255)
        weights, bias = (one.detach().numpy().astype(np.float64) for one in (module.weight, module.bias))
        scales = np.abs(weights).max((1, 2, 3)) / 127
        codes = np.round(weights / scales[:, None, None, None]).astype(np.int8)
        sums = np.round(bias / (scales * input_scale)).astype(np.int32)
        kind = (int(module.stride[0]), module.groups > 1)
        layers.append(Quantized(next(names), codes, sums, scales, input_scale, output_scale, *kind))
        input_scale = output_scale
    return layers


def onnx_file(layers: list[Quantized]) -> bytes:
    """The network as ONNX: pixels from 0 to 1 of shape (N, 1, 16, 16)."""
    build = QDQ()
    last = len(layers) - 1

    def dequantized(codes: str, scale: NDArray[np.float32], zero: NDArray[np.integer], name: str) -> str:
        parameters = [build.constant(scale, f"{name}.scale"), build.constant(zero, f"{name}.zero")]
        return build.node("DequantizeLinear", [codes, *parameters], name=name, **({"axis": 0} if zero.ndim else {}))

    def requantized(real: str, scale: float, zero: int, name: str) -> str:
        step, kind = np.float32(scale), np.asarray(zero, np.uint8)
        parameters = [build.constant(step, f"{name}.quantize.scale"), build.constant(kind, f"{name}.quantize.zero")]
        codes = build.node("QuantizeLinear", [real, *parameters], name=f"{name}.quantize")
        return dequantized(codes, step, kind, name)

    x = requantized(build.input("image", TensorProto.FLOAT, ["N", 1, SIZE, SIZE]), 1 / 256, 0, "image.pixels")
    for number, one in enumerate(layers):
        n = len(one.weights)
        weights = build.constant(one.weights, f"{one.name}.weight")
        bias = build.constant(one.bias, f"{one.name}.bias")
        inputs = [
            x,
            dequantized(weights, one.scales.astype(np.float32), np.zeros(n, np.int8), f"{one.name}.weight.real"),
            dequantized(
                bias, (one.scales * one.input_scale).astype(np.float32), np.zeros(n, np.int32), f"{one.name}.bias.real"
            ),
        ]
        size = one.weights.shape[2:]
        pads = [EDGES[2], EDGES[0], EDGES[3], EDGES[1]] if one.stride > 1 else [0] * 4
        options = {"strides": [one.stride] * 2, "pads": pads, "group": n if one.depthwise else 1}
        real = build.node("Conv", inputs, name=one.name, kernel_shape=list(size), **options)
        x = requantized(real, one.output_scale, 128 if number == last else 0, f"{one.name}.codes")
    build.nodes.append(onnx.helper.make_node("Flatten", [x], ["scores"], name="flatten"))
    build.output("scores", TensorProto.FLOAT, ["N", len(SHAPES)])
    model = build.model(opset=17, ir_version=8)
    del model.opset_import[1:]
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def tflite_file(layers: list[Quantized]) -> bytes:
    """The network as TFLite: pixels less 128 of shape (1, 16, 16, 1)."""
    build = TFLiteBuilder()
    side = SIZE
    image = x = build.tensor("image", (1, side, side, 1), "INT8", None, 1 / 256, -128)
    for number, one in enumerate(layers):
        n, depth = one.weights.shape[:2]
        last = number == len(layers) - 1
        operator = DENSE if last else DEPTHWISE if one.depthwise else CONV
        codes = one.weights.transpose((1, 2, 3, 0) if one.depthwise else (0, 2, 3, 1))
        if last:
            flat = build.tensor("flat", (1, side * side * depth), "INT8", None, one.input_scale, -128)
            shape = build.constant("shape", np.array([1, side * side * depth], np.int32))
            build.operator("RESHAPE", [x, shape], [flat], schema.ReshapeOptionsT())
            x, codes = flat, codes.reshape(n, -1)
        else:
            side //= one.stride
        axis = 3 if one.depthwise else 0
        weights = build.tensor(f"{one.name}/weights", codes.shape, "INT8", codes, one.scales, [0] * n, axis)
        bias = build.tensor(f"{one.name}/bias", (n,), "INT32", one.bias, one.scales * one.input_scale, [0] * n)
        shape_out = (1, n) if last else (1, side, side, n)
        y = build.tensor(one.name, shape_out, "INT8", None, one.output_scale, 0 if last else -128)
        build.operator(operator, [x, weights, bias], [y], _options(operator, codes.shape, SAME, one.stride, 1))
        x = y
    return build.build([image], [x])


def main(folder: Path = FOLDER) -> None:
    """Write the files."""
    layers = quantized(trained())
    images = drawn_shapes(SAMPLES, seed=3)[0]
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / "shapes.onnx", onnx_file(layers))
    atomic_write(folder / "shapes.tflite", tflite_file(layers))
    np.savez_compressed(folder / "shapes_onnx.npz", image=images[:, None] / np.float32(256))
    np.savez_compressed(folder / "shapes_tflite.npz", image=(images[..., None].astype(np.int16) - 128).astype(np.int8))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
