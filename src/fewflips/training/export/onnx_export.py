"""Writes a quantized network as an ONNX model (QDQ)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper
from torch import nn

from fewflips.errors import InputError
from fewflips.files.atomic import atomic_write
from fewflips.training.export.qdq_graph import INT4_BITS, QdqGraph
from fewflips.training.networks.blocks import ConvBlock, ImageClassifier
from fewflips.training.quantization.quantized_layers import (
    ActivationQuantizer,
    QuantizedConv,
    QuantizedLinear,
    quantized_weights,
)
from fewflips.version import __version__

OPSET, IR_VERSION = 17, 8
"""Opset for int8 weights: the oldest sufficient one, which most runtimes support."""

INT4_OPSET, INT4_IR_VERSION = 21, 10
"""The first opset with INT4."""


@torch.no_grad()
def to_onnx(
    network: ImageClassifier,
    *,
    name: str | None = None,
    doc_string: str = "",
    properties: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Make an ONNX model of a quantized network, with a free batch size.

    Activations are uint8; weights int8, or INT4 if they have at most 4 bits (including 2 and 3); biases int32. Layers
    are named like the network's modules.

    Parameters
    ----------
    network : ImageClassifier
        From :func:`~fewflips.training.quantization.quantize.quantize`, with ranges known.
    name : str, optional
        Name of the graph; by default the architecture's.
    doc_string : str
        The model's description.
    properties : mapping of str to str, optional
        The model's metadata.

    Returns
    -------
    ModelProto
        The checked model.

    Raises
    ------
    InputError
        If the network is not quantized, a range is unknown or not finite, or a bias is too large.
    """
    _check_quantized(network)
    graph = QdqGraph()
    assert isinstance(network.input, ActivationQuantizer)
    x = graph.activation("input", "input.output", network.input)
    for index, layer in enumerate(network.features):
        x = _emit_layer(graph, x, f"features.{index}", layer)
    _emit_head(graph, x, network)
    packed = any(layer.bits <= INT4_BITS for layer in quantized_weights(network).values())
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            name or network.name,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", *network.input_shape])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", network.classes])],
            graph.initializers,
        ),
        producer_name="fewflips",
        producer_version=__version__,
        doc_string=doc_string,
        opset_imports=[helper.make_opsetid("", INT4_OPSET if packed else OPSET)],
        ir_version=INT4_IR_VERSION if packed else IR_VERSION,
    )
    helper.set_model_props(proto, dict(properties or {}))
    onnx.checker.check_model(proto, full_check=True)
    return proto


def write_onnx(proto: onnx.ModelProto, path: Path) -> None:
    """Write a model to a file, completely or not at all.

    Parameters
    ----------
    proto : ModelProto
        From :func:`to_onnx`.
    path : Path
        The file to write or replace.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    atomic_write(path, proto.SerializeToString())


def _emit_layer(graph: QdqGraph, x: str, name: str, layer: nn.Module) -> str:
    """A convolution or a block; returns the name of its dequantized output."""
    if isinstance(layer, ConvBlock):
        return _emit_block(graph, x, name, layer)
    assert isinstance(layer, QuantizedConv)
    parameters = graph.weight_and_bias(name, layer)
    y = graph.node(
        "Conv",
        [x, *parameters],
        name,
        f"{name}.conv",
        group=layer.groups,
        kernel_shape=list(layer.weight.shape[2:]),
        strides=list(layer.stride),
        pads=list(layer.padding) * 2,
    )
    return graph.activation(y, f"{name}.output", layer.output)


def _emit_block(graph: QdqGraph, x: str, name: str, block: ConvBlock) -> str:
    """Consecutive units, with a quantized sum if the block has a skip."""
    y = x
    for part, unit in block.units():
        y = _emit_layer(graph, y, f"{name}.{part}", unit)
    if not block.residual:
        return y
    skipped = x if block.shortcut is None else _emit_layer(graph, x, f"{name}.shortcut", block.shortcut)
    assert isinstance(block.sum, ActivationQuantizer)
    total = graph.node("Add", [skipped, y], f"{name}.add", f"{name}.sum")
    return graph.activation(total, f"{name}.add.output", block.sum)


def _emit_head(graph: QdqGraph, x: str, network: ImageClassifier) -> None:
    """Mean over the image, quantized, and the classifier."""
    pool, classifier = network.pool, network.classifier
    assert isinstance(pool, ActivationQuantizer)
    assert isinstance(classifier, QuantizedLinear)
    x = graph.node("GlobalAveragePool", [x], "pool", "pool.mean")
    x = graph.activation(x, "pool.output", pool)
    x = graph.node("Flatten", [x], "flatten", "flatten.flat")
    x = graph.activation(x, "flatten.output", pool)
    parameters = graph.weight_and_bias("classifier", classifier)
    graph.node("Gemm", [x, *parameters], "classifier", "logits", transB=1)


def _check_quantized(network: ImageClassifier) -> None:
    if not isinstance(network.input, ActivationQuantizer):
        raise InputError("export: expected a quantized network, got a float one; call quantize() and train it first")
    for name, module in network.named_modules():
        if isinstance(module, ActivationQuantizer) and not bool(torch.isfinite(module.high - module.low)):
            raise InputError(
                f"export: expected a finite range of activations at '{name}', got {float(module.low)} to "
                f"{float(module.high)}; call calibrate() before the network is trained"
            )
